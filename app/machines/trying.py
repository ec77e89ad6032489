"""A customer's own probe: a command that must succeed on the machine before it is the customer's, and is billed."""

from __future__ import annotations

from collections.abc import Mapping

from app.machines.checking import Failed
from app.machines.jobs import environment_file
from app.machines.shell import AnswerTooLong, Shell, TimedOut

_OUTPUT_BYTES = 64 * 1024
_RUN = 'cd && . ./.hourglass/probe.env && exec "$HOME/.hourglass/probe.sh"'
_TOLD = 300


async def try_out(shell: Shell, *, command: str, env: Mapping[str, str], seconds: int) -> Failed | None:
    """Run the command to its end, at most so long, and return what is wrong; None where it ends with status 0.

    It is a file of its own, with no input, run by ``/bin/sh`` unless its first line names another program. What fails
    says nothing about the machine to anybody else: the command may be what is wrong.

    Raises:
        ShellError: the machine can't be reached, or can't write the files.
    """
    text = command if command.startswith("#!") else f"#!/bin/sh\n{command}\n"
    await shell.write_file(".hourglass/probe.env", environment_file(env))
    await shell.write_file(".hourglass/probe.sh", text.encode(), mode="700")
    try:
        answer = await shell.run(_RUN, deadline_seconds=seconds, max_bytes=_OUTPUT_BYTES)
    except TimedOut:
        return Failed("startup_failed", f"the rental's own probe did not end within {seconds} s")
    except AnswerTooLong:
        return Failed("startup_failed", "the rental's own probe said too much")
    if answer.status == 0:
        return None
    said = (answer.stderr or answer.stdout)[-_TOLD:].decode(errors="replace").split()
    printable = "".join(letter if letter.isprintable() else "?" for letter in " ".join(said))
    return Failed("startup_failed", f"the rental's own probe ended with {answer.status}: {printable}".rstrip(": "))
