"""Logs: one JSON object per line, with no secret and of bounded size, whoever logs and whatever they pass.

Both structlog and the standard library's loggers end here. A line that can't be written is dropped: a full disk must not
stop a service.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import structlog

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_FILE_BYTES_MAX = 10 << 20
_TEXT_MAX = 2_000
_ITEMS_MAX = 50
_DEPTH_MAX = 5
_LINE_MAX = 16_000
HIDDEN = "[hidden]"

_SECRET_NAME = re.compile(
    r"(?i)(?:^|_)(?:password|passwd|secrets?|token|authorization|cookie|credentials?|api_?key|private_?key)$"
)
_SECRET_TEXT = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|\b(?:hg|sk|rk|pk|whsec|secret|ghp|gho|xox[abp])[_-][A-Za-z0-9_.-]{12,}"  # our keys, and those of clouds and cards
    r"|(?i:\b(?:bearer|basic)\s+)[A-Za-z0-9+/=_.~-]{8,}"
    r"|(?<=://)[^/\s@]*:[^/\s@]+(?=@)"  # a password in a URL
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"  # a signed token
    r"|(?i:\b(?:password|secret|token|api_?key)\b[\"']?\s*[=:]\s*[\"']?)[^\s\"'&,;]{4,}"
    r"|\b[0-9a-fA-F]{48,}\b",  # a key in hexadecimal
    re.DOTALL,
)
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MAY_BE_SECRET = re.compile(r"[_:=. -]|[0-9a-fA-F]{48}")


class Sink(Protocol):
    """Where lines go."""

    def write(self, line: str, /) -> object:
        """Take one line."""
        ...


class LogFile:
    """A file that is put aside as ``….1`` when it has grown to 10 MiB, so that two of them are all there ever is."""

    def __init__(self, path: Path, *, bytes_max: int = _FILE_BYTES_MAX) -> None:
        """Append to the file at ``path``."""
        self._path = path
        self._bytes_max = bytes_max
        self._open()

    def write(self, line: str) -> None:
        """Append a line at once."""
        data = line.encode(errors="backslashreplace")
        self._file.write(data)
        self._bytes += len(data)
        if self._bytes > self._bytes_max:
            self._file.close()
            self._path.replace(self._path.with_name(self._path.name + ".1"))
            self._open()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _open(self) -> None:
        self._file = self._path.open("ab", buffering=0)
        self._bytes = self._path.stat().st_size


def configure_logs(*, process: str, level: str = "info", sink: Sink | None = None) -> None:
    """Send every log line of this process to ``sink`` (standard output without), from ``level`` on."""
    number = _LEVELS[level]
    out = sink or sys.stdout
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _naming(process),
            structlog.processors.format_exc_info,
            cleaned,
            _line,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: _Writer(out),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Bridge()]
    root.setLevel(max(number, logging.INFO))
    for noisy in ("httpx", "httpcore", "asyncssh", "alembic", "uvicorn.access", "uvicorn.error"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def cleaned(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Return an event without secrets and of bounded size: a structlog processor."""
    return {name: _clean(name, value, 0) for name, value in list(event.items())[:_ITEMS_MAX] if value is not None}


def hide_secrets(text: str) -> str:
    """Return a text with all in it that looks like a key, a password or a token replaced by ``[hidden]``."""
    return _SECRET_TEXT.sub(HIDDEN, text) if _MAY_BE_SECRET.search(text) else text


def _clean(name: str, value: Any, depth: int) -> Any:  # noqa: ANN401 - whatever somebody logs
    if _SECRET_NAME.search(name):
        return HIDDEN
    if value is None or isinstance(value, bool | int | float) or _is_digest(name, value):
        return value
    if depth >= _DEPTH_MAX:
        return "…"
    if isinstance(value, Mapping):
        pairs = list(value.items())[:_ITEMS_MAX]
        return {str(key): _clean(str(key), item, depth + 1) for key, item in pairs}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean("", item, depth + 1) for item in list(value)[:_ITEMS_MAX]]
    text = hide_secrets(value if isinstance(value, str) else _shown(value))
    return text if len(text) <= _TEXT_MAX else text[: _TEXT_MAX // 2] + " … " + text[-_TEXT_MAX // 2 :]


def _is_digest(name: str, value: object) -> bool:
    """Say whether it is told to be the hash of what is public, such as a chain's head, which is kept in logs as it is."""
    return name == "hash" and isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def _shown(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a value that can't be shown must not end who logs it
        return f"<{type(value).__name__}>"


def _naming(process: str) -> structlog.typing.Processor:
    def name(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        """Add the name of the process."""
        event["process"] = process
        return event

    return name


def _line(_logger: object, _method: str, event: structlog.typing.EventDict) -> str:
    line = json.dumps(event, ensure_ascii=False)
    if len(line) <= _LINE_MAX:
        return line
    short = {name: event[name] for name in ("event", "level", "timestamp", "process", "request_id") if name in event}
    return json.dumps({**short, "cut": line[: _LINE_MAX // 2]}, ensure_ascii=False)


class _Writer:
    """The logger below structlog's: each level's method takes the finished line."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def msg(self, line: str) -> None:
        """Write a line, or drop it when it can't be written."""
        with contextlib.suppress(OSError, ValueError):
            self._sink.write(line + "\n")

    debug = info = warning = error = critical = exception = log = msg


class _Bridge(logging.Handler):
    """Hands the standard library's records to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record."""
        with contextlib.suppress(Exception):
            structlog.get_logger().log(
                record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info or None
            )
