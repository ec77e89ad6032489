"""An event as it is told: the same shape in ``GET /v1/events``, in its stream and in a webhook's message."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import asyncpg
from pydantic import Field

from app.events import in_dollars
from app.kit.clock import rfc3339
from app.kit.ids import RentalId, TeamId
from app.web.schemas import TimeOut, Wire


class EventOut(Wire):
    """One thing that happened in an account. `data` depends on `type`; amounts in it are dollars."""

    id: str
    object: Literal["event"] = "event"
    type: str = Field(examples=["rental.running"])
    at: TimeOut
    subject: str = Field(description="What it happened to: a rental, a team, a webhook, or the account itself.")
    seq: int = Field(description="Counts the events of its subject from 1 without gaps.")
    rental_id: str | None = None
    team_id: str | None = None
    actor: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """An event with who stands behind its subject."""

    account_id: str
    id: str
    type: str
    at: datetime
    subject: str
    seq: int
    actor: str
    data: dict[str, Any]
    team_id: str | None = None

    @classmethod
    def of(cls, row: asyncpg.Record, *, team_id: str | None = None) -> Told:
        """Return the event of a row that has its columns, ``data`` as text."""
        return cls(
            row["account_id"],
            row["id"],
            row["type"],
            row["at"],
            row["subject"],
            row["seq"],
            row["actor"],
            json.loads(row["data"]),
            team_id,
        )

    @property
    def shown(self) -> EventOut:
        """Return it as it is told."""
        return EventOut(
            id=self.id,
            type=self.type,
            at=self.at,
            subject=self.subject,
            seq=self.seq,
            rental_id=self.subject if is_rental(self.subject) else None,
            team_id=self.subject if is_team(self.subject) else self.team_id,
            actor=self.actor,
            data=in_dollars(self.data),
        )

    @property
    def payload(self) -> dict[str, Any]:
        """Return what a webhook's message says."""
        return {"type": self.type, "timestamp": rfc3339(self.at), "data": self.shown.model_dump(mode="json")}

    @property
    def message(self) -> bytes:
        """Return the body of a webhook's message: the same bytes however often it is sent."""
        return json.dumps(self.payload, separators=(",", ":"), ensure_ascii=False).encode()


def is_rental(subject: str) -> bool:
    """Say whether a subject is a rental."""
    return subject.startswith(f"{RentalId.prefix}_")


def is_team(subject: str) -> bool:
    """Say whether a subject is a team."""
    return subject.startswith(f"{TeamId.prefix}_")
