"""Entries as lines of JSON: whole, so that anybody can verify the chain, or flat, for tools that know no nesting."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from app.audit.entries import canonical, stamp
from app.audit.models import EntryRow
from app.audit.queries import COLUMNS
from app.audit.schemas import AuditEntry

_NAMES: Final = tuple(COLUMNS.split(", "))
"""What an entry's hash is made of, as its line names it, in the order of the hash; the details come last."""


def full(row: EntryRow) -> str:
    """Return an entry as one line, with everything that its hash is made of."""
    return _line(AuditEntry.of(row).model_dump())


def flat(row: EntryRow) -> str:
    """Return an entry as one line of ``timestamp, team, action``, actor and target, and then its details side by side."""
    told: dict[str, Any] = {
        "timestamp": stamp(row.at),
        "team": row.team_id,
        "action": row.action,
        "actor": row.actor,
        "target": row.target,
    }
    for name, value in row.details.items():
        told[f"details.{name}" if name in told else name] = value
    return _line(told)


def canonical_of(line: Mapping[str, Any]) -> bytes:
    """Return the canonical bytes of an entry from its full line.

    Raises:
        KeyError: it is no such line.
    """
    return canonical([line[name] for name in _NAMES], line["details"])


def _line(told: Mapping[str, Any]) -> str:
    """Return JSON in ASCII: no reader takes a character of it for the end of the line."""
    return json.dumps(told) + "\n"
