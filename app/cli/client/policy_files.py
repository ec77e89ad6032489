"""Configuration files before they are sent: read, told apart, and without the credentials in them."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

from app.cli.errors import UsageError

_BYTES_MAX: Final = 256 * 1024
_SECRET: Final = re.compile(
    r"""(?P<key>["']?[\w.-]*(?:api[_-]?key|secret|token|passw(?:or)?d|credential)[\w.-]*["']?[ \t]*[=:][ \t]*)"""
    r"""(?:"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[^\s,}\]]+)""",
    re.IGNORECASE,
)


def read_file(path: Path) -> str:
    """Return a file's text; ``-`` is the standard input.

    Raises:
        UsageError: it can't be read, is too long, or no text.
    """
    try:
        raw = sys.stdin.buffer.read(_BYTES_MAX + 1) if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}.") from None
    if len(raw) > _BYTES_MAX:
        raise UsageError(f"{path} is longer than {_BYTES_MAX // 1024} KiB.")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no text in UTF-8.") from None


def guess_format(path: Path, text: str) -> str:
    """Return which of the two shapes a file has, by its name and its sections."""
    is_cloud = path.name.lower() == "cloud.toml" or re.search(r"^\s*\[(providers\.|budget\])", text, re.MULTILINE)
    return "cloud-toml" if is_cloud else "team-table"


def without_secrets(text: str) -> str:
    """Return a text in which credentials are left out: they never leave this machine. Lines stay where they are."""
    return _SECRET.sub(lambda found: f'{found["key"]}"left out"', text)
