"""Starts a program as another user, tied to the life of the process that asked for it.

Run as a script between the parent and the program, so that nothing but `exec` happens in a fork of a threaded process:
`python privileges.py PARENT UID GID SIGNAL DIRECTORY PROGRAM ARGUMENT…`. `launch_command` writes that line.

PostgreSQL refuses to run as root. Root therefore gives up its user here, and with it the right to enter directories
that only root may enter. Where the program or its directory lies beneath one, the least capability that opens the way
is kept: reading and searching, else overriding. `access()` looks at the real user and forgets capabilities unless
`SECBIT_NO_SETUID_FIXUP` is set, and PostgreSQL looks for its own files with `access()`; hence that bit.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

UNREACHABLE = 77
"""Exit status when the user can enter neither by itself nor by a capability."""

NOT_PERMITTED = 78
"""Exit status when the change of user itself is refused."""

_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2
_LADDER = ((), (_CAP_DAC_READ_SEARCH,), (_CAP_DAC_OVERRIDE,), (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH))
_CAPABILITY_VERSION_3 = 0x20080522
_PR_SET_PDEATHSIG = 1
_PR_SET_SECUREBITS = 28
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_SECBIT_NO_SETUID_FIXUP = 1 << 2


def launch_command(
    program: Sequence[str], *, user: tuple[int, int], directory: Path, at_parents_death: signal.Signals
) -> list[str]:
    """Return the command line that runs `program` as `user` (uid, gid) for as long as this process lives.

    `directory` must be open to that user. Where the system can (Linux), the program is sent `at_parents_death` when the
    **thread** that started it ends, so it is to be started from one that lives long.
    """
    launcher = [sys.executable, "-I", "-S", str(Path(__file__).resolve())]
    return [*launcher, str(os.getpid()), *map(str, user), str(int(at_parents_death)), str(directory), *program]


def _main(arguments: list[str]) -> None:
    parent, uid, gid, death_signal = map(int, arguments[:4])
    directory, *program = arguments[4:]
    linux = sys.platform == "linux"
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() != uid:
        _become(uid, gid, paths=(directory, program[0]), libc=libc if linux else None)
    if linux:
        libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the parent ended before the program began")
    os.umask(0o077)
    os.execv(program[0], program)  # noqa: S606 - replacing this process without a shell is the purpose


def _become(uid: int, gid: int, *, paths: tuple[str, str], libc: ctypes.CDLL | None) -> None:
    keeps = libc is not None and libc.prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0) == 0
    try:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    except OSError as error:
        sys.stderr.write(f"root may not become user {uid} here: {error.strerror}\n")
        sys.exit(NOT_PERMITTED)
    reached = _climb(libc, paths) if libc is not None and keeps else _reaches(*paths)
    if not reached:
        sys.stderr.write(f"user {uid} can not enter {paths[0]} or run {paths[1]}\n")
        sys.exit(UNREACHABLE)


def _climb(libc: ctypes.CDLL, paths: tuple[str, str]) -> bool:
    """Keep the least of the capabilities at hand that opens the paths, over the coming `exec` too."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    current = (ctypes.c_uint32 * 6)()
    libc.capget(header, current)
    at_hand = current[1]
    for rung in _LADDER:
        kept = sum(1 << capability for capability in rung)
        if kept & ~at_hand:
            continue
        libc.capset(header, (ctypes.c_uint32 * 6)(kept, at_hand, 0, 0, 0, 0))
        if _reaches(*paths):
            libc.capset(header, (ctypes.c_uint32 * 6)(kept, kept, kept, 0, 0, 0))
            return all(libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, c, 0, 0) == 0 for c in rung)
    return False


def _reaches(directory: str, program: str) -> bool:
    return os.access(directory, os.X_OK) and os.access(program, os.R_OK | os.X_OK)


if __name__ == "__main__":
    _main(sys.argv[1:])
