"""Startup scripts: run once, detached, with their log read in pieces while they run."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import dataclass, replace

from app.machines.jobs import Job, start_job
from app.machines.shell import Shell

_JOB = Job(name="startup", env="env", runner="run.sh", marker="started")
_MIN_LIMIT = 16


@dataclass(frozen=True, slots=True)
class LogChunk:
    """A piece of the startup log. It is the last one when the exit status is known and the text is empty."""

    text: str
    next_offset: int
    exit_status: int | None
    """None while the script runs, or when it was never started."""


async def start_script(shell: Shell, *, script: str, env: Mapping[str, str], again: str = "") -> None:
    """Start the script, detached, in the home, with the variables. It runs once, however often this is called.

    With ``again``, letters and digits that name a later start of the machine, it runs once more for that, its log anew.

    A script without a ``#!`` line is run by ``/bin/sh``. Output goes to ``~/.hourglass/startup.log``.

    Raises:
        ValueError: as ``environment_file``.
        ShellError: the machine can't be reached or can't write the files.
    """
    job = replace(_JOB, marker=f"{_JOB.marker}-{again}") if again else _JOB
    await start_job(shell, job, script=script, env=env)


async def read_log(shell: Shell, *, offset: int, limit_bytes: int) -> LogChunk:
    """Return up to so many bytes of the startup log from an offset on. A character is never cut in two.

    Raises:
        ValueError: a negative offset, or a limit below 16 bytes.
        ShellError: the machine can't be reached.
    """
    if offset < 0 or limit_bytes < _MIN_LIMIT:
        raise ValueError("offset must not be negative, limit_bytes at least 16")
    # The status is read first: once it stands there, the log below is complete.
    command = (
        'cd "$HOME/.hourglass" 2>/dev/null || exit 0; cat startup.exit 2>/dev/null || echo; '
        f"tail -c +{int(offset) + 1} startup.log 2>/dev/null | head -c {int(limit_bytes)}"
    )
    answer = await shell.run(command, max_bytes=limit_bytes + 64)
    first, _, data = answer.stdout.partition(b"\n")
    exit_status = int(first) if first.isdigit() else None
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(data, final=exit_status is not None and len(data) < limit_bytes)
    pending = len(decoder.getstate()[0])
    return LogChunk(text.replace("\0", "\ufffd"), offset + len(data) - pending, exit_status)
