"""Small files that only their owner may read, such as secrets: whole or absent, whatever happens while they are written."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path


class ExposedFileError(Exception):
    """A private file can be read by others, or is none; the message says what to do."""


def read_private(path: Path) -> str | None:
    """Return a private file's text without the space around it, or None when there is no such file.

    Raises:
        ExposedFileError: others may read or change it, or it is no plain file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, encoding="utf-8") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_mode & 0o077 or found.st_uid not in {os.geteuid(), 0}:
            raise ExposedFileError(f"{path} must be a file of this user that nobody else may read: chmod 600 {path}")
        return file.read().strip()


def write_private(path: Path, text: str) -> None:
    """Write a private file, replacing what is there, and see it through to the disk."""
    with _written(path, text) as new:
        new.replace(path)


def keep_private(path: Path, text: str) -> str:
    """Write a private file unless it is there, and return what it then says: of two writers at once both get the same.

    Raises:
        ExposedFileError: as ``read_private``.
    """
    while (found := read_private(path)) is None:
        with _written(path, text) as new, contextlib.suppress(FileExistsError):
            os.link(new, path)
    return found


@contextlib.contextmanager
def _written(path: Path, text: str) -> Iterator[Path]:
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(descriptor)
        yield new
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    finally:
        new.unlink(missing_ok=True)
