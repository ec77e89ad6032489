"""Startup scripts: put on the machine as files, run once, detached, with their log and exit status kept there.

Nothing that a user wrote ever stands in a shell's command line: the script and the environment travel as file content.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass

from app.machines.shell import Shell, ShellError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_SHELLS_OWN = frozenset({"BASHOPTS", "BASH_VERSINFO", "EUID", "OPTIND", "PPID", "SHELLOPTS", "UID"})
"""Names whose assignment ends one shell or another."""
_MIN_LIMIT = 16
_RUN = """\
cd "$HOME/.hourglass" || exit 1
mkdir started 2>/dev/null || exit 0
exec >startup.log 2>&1
set -- "$PWD"
( . ./env; cd ..; exec "$1/startup.sh" )
echo $? >startup.exit.new
mv -f startup.exit.new startup.exit
"""
_LAUNCH = """\
cd "$HOME/.hourglass" || exit 1
if command -v setsid >/dev/null 2>&1; then setsid sh ./run.sh; else nohup sh ./run.sh; fi </dev/null >/dev/null 2>&1 &
"""


@dataclass(frozen=True, slots=True)
class LogChunk:
    """A piece of the startup log. It is the last one when the exit status is known and the text is empty."""

    text: str
    next_offset: int
    exit_status: int | None
    """None while the script runs, or when it was never started."""


def environment_file(env: Mapping[str, str]) -> bytes:
    """Return a file for ``sh`` to read that exports exactly these variables, whatever their values hold.

    Raises:
        ValueError: a name that is none for a shell or is the shell's own, or a value that no environment can hold.
    """
    for name, value in env.items():
        if not _NAME.fullmatch(name) or name in _SHELLS_OWN:
            raise ValueError(f"{name[:64]!r} can't be set as an environment variable")
        if "\0" in value:
            raise ValueError(f"the value of {name} holds a NUL")
    return "".join(f"export {name}={quoted(value)}\n" for name, value in env.items()).encode()


def quoted(value: str) -> str:
    """Return a value as one word for ``sh``, in which nothing has a meaning."""
    return "'" + value.replace("'", "'\\''") + "'"


async def start_script(shell: Shell, *, script: str, env: Mapping[str, str]) -> None:
    """Start the script, detached, in the home, with the variables. It runs once, however often this is called.

    A script without a ``#!`` line is run by ``/bin/sh``. Output goes to ``~/.hourglass/startup.log``.

    Raises:
        ValueError: as ``environment_file``.
        ShellError: the machine can't be reached or can't write the files.
    """
    variables = environment_file(env)
    text = script if script.startswith("#!") else f"#!/bin/sh\n{script}"
    if (await shell.run('[ -d "$HOME/.hourglass/started" ]')).status == 0:
        return
    await shell.write_file(".hourglass/env", variables)
    await shell.write_file(".hourglass/startup.sh", text.encode(), mode="700")
    await shell.write_file(".hourglass/run.sh", _RUN.encode())
    # The marker is made by the script's own runner, so that a connection lost before leaves no marker without a run.
    if (await shell.run(_LAUNCH)).status != 0:
        raise ShellError("the machine could not start the script")


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
