"""The last thing that runs on a machine which its cloud takes back: the customer's script that saves a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app.machines.jobs import Job, start_job
from app.machines.shell import Shell, ShellError

_JOB = Job(name="interrupt", env="interrupt.env", runner="interrupt.run.sh", marker="interrupted")
_OUTPUT_BYTES = 64 * 1024
_ANSWER_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What came of the script: its exit status, None when it did not end in time, and the end of its output."""

    exit_status: int | None
    output: str


async def save_checkpoint(shell: Shell, *, script: str, env: Mapping[str, str], seconds: float) -> Checkpoint:
    """Run the script and wait for its end, at most so long. A second call waits for the run of the first.

    Raises:
        ShellError: the machine can't be reached (any more), or can't write the files.
    """
    await start_job(shell, _JOB, script=script, env=env)
    # The machine's own clock ends the wait, so that one SSH channel serves for all of it.
    command = (
        f'cd "$HOME/.hourglass" || exit 1; end=$(($(date +%s) + {max(1, int(seconds))})); '
        f'while [ ! -e {_JOB.name}.exit ] && [ "$(date +%s)" -lt "$end" ]; do sleep 0.2 2>/dev/null || sleep 1; done; '
        f"cat {_JOB.name}.exit 2>/dev/null || echo; tail -c {_OUTPUT_BYTES} {_JOB.name}.log 2>/dev/null"
    )
    answer = await shell.run(command, deadline_seconds=seconds + _ANSWER_SECONDS, max_bytes=2 * _OUTPUT_BYTES)
    first, _, output = answer.stdout.partition(b"\n")
    if answer.status is None:
        raise ShellError("the machine broke off")
    status = int(first) if first.isdigit() else None
    return Checkpoint(status, output.decode(errors="replace").replace("\0", "\ufffd"))
