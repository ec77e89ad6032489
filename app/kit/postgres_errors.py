"""What can be wrong with an embedded PostgreSQL, each with a message that says what to do.

PostgresError
├── AlreadyRunning
├── DiskFull
├── DataDirectoryUnusable
└── StartFailed
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

_SPACE_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_SPACE_TEXTS = tuple(os.strerror(number) for number in sorted(_SPACE_ERRNOS))
_SCARCE_BYTES = 16 * 1024 * 1024  # one segment of the write-ahead log


class PostgresError(Exception):
    """The embedded PostgreSQL can't be used; the message says what to do."""


class AlreadyRunning(PostgresError):
    """Another process uses this home."""


class DiskFull(PostgresError):
    """The file system of the home has no room."""


class DataDirectoryUnusable(PostgresError):
    """The home holds something that this server can't or mustn't work on."""


class StartFailed(PostgresError):
    """PostgreSQL did not start; the message ends with what it said."""


def space_error(text: str, home: Path) -> DiskFull | None:
    """Return the error to raise if `text`, or the file system itself, tells of a lack of space."""
    free = shutil.disk_usage(home).free
    told = [line.strip() for line in text.splitlines() if any(known in line for known in _SPACE_TEXTS)]
    if not told and free >= _SCARCE_BYTES:
        return None
    said = f" PostgreSQL said: {told[0]}" if told else ""
    return DiskFull(
        f"No room for PostgreSQL in {home}: {free / 1e6:.0f} MB are free there. Free at least 200 MB (or raise the "
        f"quota or file size limit), or put HOURGLASS_HOME on another disk, and start again.{said}"
    )


@contextlib.contextmanager
def told_plainly(home: Path) -> Iterator[None]:
    """Turn an OSError of the block into DiskFull or DataDirectoryUnusable."""
    try:
        yield
    except OSError as error:
        if error.errno in _SPACE_ERRNOS and (full := space_error(str(error), home)):
            raise full from error
        raise DataDirectoryUnusable(
            f"PostgreSQL can't use {error.filename or home}: {error.strerror}. Make {home} writable for this user, or "
            "set HOURGLASS_HOME to a directory that is."
        ) from error
