"""Entries: what one act looks like, and the bytes that its hash is made of."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

OPERATOR: Final = "operator"
"""The actor, and the chain, of what the operator does to no account in particular."""

SYSTEM: Final = "system"
"""The actor of what the service does by itself."""

HIDDEN: Final = "[hidden]"
"""What stands in the place of something that must not be kept."""

_TEXT_MAX = 4_096
_SECRET_NAMES = re.compile(
    r"(?i)env|environment|secrets|checkpoint_uri|probe|on_interrupt"
    r"|.*(secret|password|token|authorization|cookie|private_key|script)"
)
"""Members whose values are somebody's secret, or may well hold one."""
_API_KEY = re.compile(r"hg_(live|test)_[0-9A-Za-z]+")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Entry:
    """One act on one thing of an account. What the edge knows of the request is added when it is written."""

    account_id: str
    action: str
    """``thing.deed`` in the past tense: ``rental.created``, ``policy.updated``."""
    target: str
    """The id of what was acted on."""
    at: datetime
    actor: str | None = None
    """Who acted; by default who the transaction's origin says, else ``system``."""
    user_id: str | None = None
    team_id: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    """JSON, with ``before`` and ``after`` where something changed. Carries no secret."""


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return ``{"before": …, "after": …}`` with only those fields whose values differ."""
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return {
        "before": {name: before[name] for name in names if name in before},
        "after": {name: after[name] for name in names if name in after},
    }


def plain(value: object) -> Any:  # noqa: ANN401 - JSON
    """Return a value as JSON that reads back the same: no floats, texts that can be stored, and nothing named a secret."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, Mapping):
        return {_text(str(name)): _member(str(name), member) for name, member in value.items()}
    if isinstance(value, AbstractSet):
        return sorted((plain(member) for member in value), key=str)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(member) for member in value]
    return _scalar(value)


def canonical(columns: Sequence[object], details: object) -> bytes:
    """Return the columns of an entry and its details as bytes that are the same on every machine for ever."""
    values = [stamp(value) if isinstance(value, datetime) else value for value in columns]
    return json.dumps([*values, details], ensure_ascii=True, sort_keys=True, separators=(",", ":")).encode()


def origin_of(account_id: str) -> bytes:
    """Return the hash that an account's chain begins from."""
    return hashlib.sha256(b"hourglass audit " + account_id.encode()).digest()


def link(before: bytes, text: bytes) -> bytes:
    """Return the hash of an entry from the one before it and its canonical bytes."""
    return hashlib.sha256(before + text).digest()


def stamp(at: datetime) -> str:
    """Return a moment as RFC 3339 in UTC, to the microsecond."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _member(name: str, value: object) -> object:
    """Return a member's value; the names alone where the values matter, so that what was given is told all the same."""
    if value is None or not _SECRET_NAMES.fullmatch(name):
        return plain(value)
    return sorted(_text(str(inner)) for inner in value) if isinstance(value, Mapping) else HIDDEN


def _scalar(value: object) -> str:
    if isinstance(value, bytes):
        return HIDDEN
    return stamp(value) if isinstance(value, datetime) else _text(str(value))


def _text(text: str) -> str:
    told = _API_KEY.sub(HIDDEN, _UNSTORABLE.sub("\ufffd", text))
    return told if len(told) <= _TEXT_MAX else f"{told[:_TEXT_MAX]}…"
