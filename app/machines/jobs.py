"""Jobs: a customer's script put on the machine as a file and run once, detached, its output and exit status kept there.

Nothing that a user wrote ever stands in a shell's command line: the script and the environment travel as file content.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from app.machines.shell import Shell, ShellError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_SHELLS_OWN = frozenset({"BASHOPTS", "BASH_VERSINFO", "EUID", "OPTIND", "PPID", "SHELLOPTS", "UID"})
"""Names whose assignment ends one shell or another."""


@dataclass(frozen=True, slots=True)
class Job:
    """A script that runs once on a machine, and its files under ``~/.hourglass``: names of ours, safe in any shell."""

    name: str
    """Of the script, its log and its exit status."""
    env: str
    runner: str
    marker: str
    """A directory: it is there as soon as the script has been started."""


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


async def start_job(shell: Shell, job: Job, *, script: str, env: Mapping[str, str]) -> None:
    """Start the script, detached, in the home, with the variables. It runs once, however often this is called.

    A script without a ``#!`` line is run by ``/bin/sh``.

    Raises:
        ValueError: as ``environment_file``.
        ShellError: the machine can't be reached or can't write the files.
    """
    variables = environment_file(env)
    text = script if script.startswith("#!") else f"#!/bin/sh\n{script}"
    if (await shell.run(f'[ -d "$HOME/.hourglass/{job.marker}" ]')).status == 0:
        return
    await shell.write_file(f".hourglass/{job.env}", variables)
    await shell.write_file(f".hourglass/{job.name}.sh", text.encode(), mode="700")
    await shell.write_file(f".hourglass/{job.runner}", _runner(job).encode())
    # What an earlier start left is removed before this one, so that nobody takes its end for this one's.
    # The marker is made by the script's own runner, so that a connection lost before leaves no marker without a run.
    if (await shell.run(_launch(job))).status != 0:
        raise ShellError("the machine could not start the script")


def _runner(job: Job) -> str:
    return (
        'cd "$HOME/.hourglass" || exit 1\n'
        f"mkdir {job.marker} 2>/dev/null || exit 0\n"
        f"exec >{job.name}.log 2>&1\n"
        'set -- "$PWD"\n'
        f'( . ./{job.env}; cd ..; exec "$1/{job.name}.sh" )\n'
        f"echo $? >{job.name}.exit.new\n"
        f"mv -f {job.name}.exit.new {job.name}.exit\n"
    )


def _launch(job: Job) -> str:
    return (
        'cd "$HOME/.hourglass" || exit 1\n'
        f"[ -d {job.marker} ] || rm -f {job.name}.exit {job.name}.log\n"
        f"if command -v setsid >/dev/null 2>&1; then setsid sh ./{job.runner}; else nohup sh ./{job.runner}; fi "
        "</dev/null >/dev/null 2>&1 &\n"
    )
