"""Wire shapes of change requests."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field

from app.policies.requests.models import RequestRow
from app.policies.schemas import PolicyUpdate
from app.policies.terms import UNLIMITED
from app.policies.wording import told_name, told_value
from app.web import Page
from app.web.schemas import Lines, TimeOut, Wire

State = Literal["open", "approved", "denied"]
_STORED: Final = {
    "max_price_per_hour": "max_price_micros_per_hour",
    "daily_budget": "daily_budget_micros",
    "monthly_budget": "monthly_budget_micros",
    "min_reliability": "min_reliability_ppm",
}
Words = Annotated[Lines, Field(min_length=1, max_length=1000)]


class RequestCreate(Wire):
    """A wish that a team's policy say something else."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"changes": {"daily_budget": "50.00"}, "reason": "The evaluation runs take all week."}]
        }
    )

    changes: PolicyUpdate
    """What is to change; what is not named stays, null clears."""
    reason: Words

    def fields(self) -> dict[str, Any]:
        """Return the changes as fields of ``Terms``."""
        terms = self.changes.changed(UNLIMITED)
        names = [_STORED.get(name, name) for name in sorted(self.changes.model_fields_set)]
        return {name: getattr(terms, name) for name in names}


class RequestDecision(Wire):
    """A word with a decision."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"note": "Until the end of the month."}]})

    note: Words | None = None


class RequestPage(Page):
    """Which requests, newest first."""

    state: Annotated[State | None, Field(description="Only those.")] = None


class RequestView(Wire):
    """Somebody's wish that a team's policy say something else, and what became of it."""

    object: Literal["policy_request"] = "policy_request"
    id: str
    team_id: str
    version: int
    """Of the policy of which it was asked."""
    outdated: bool
    """Still open, though the policy has changed since: it can only be denied."""
    changes: dict[str, Any]
    reason: str
    state: State
    asked_by: str
    asked_at: TimeOut
    decided_by: str | None
    decided_at: TimeOut | None
    note: str | None

    @classmethod
    def of(cls, row: RequestRow, *, version: int) -> RequestView:
        """Return a request as it is shown, beside the version at which its policy is now."""
        return cls(
            id=row.id,
            team_id=row.team_id,
            version=row.version,
            outdated=row.state == "open" and row.version != version,
            changes={told_name(name): told_value(name, value) for name, value in row.changes.items()},
            reason=row.reason,
            state=_state(row.state),
            asked_by=row.asked_by,
            asked_at=row.asked_at,
            decided_by=row.decided_by,
            decided_at=row.decided_at,
            note=row.note,
        )


def _state(text: str) -> State:
    return "open" if text == "open" else "approved" if text == "approved" else "denied"
