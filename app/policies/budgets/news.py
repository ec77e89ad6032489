"""What is told of a budget: to the feed of events, and from there by mail and webhooks."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from app.events import Event
from app.kit.clock import rfc3339
from app.kit.ids import AccountId, TeamId
from app.kit.money import dollars
from app.policies.standing import Budget, BudgetName

PERIODS: Final = {BudgetName.DAILY: "daily", BudgetName.MONTHLY: "monthly", BudgetName.LIMIT: "key's"}
"""What a budget is called."""


def event_of(account_id: AccountId, budget: Budget, happened: str, *, at: datetime, **more: object) -> Event:
    """Return the event ``budget.<happened>`` about a budget in its period; ``more`` says more, or otherwise."""
    data = {
        "team_id": team_of(budget.subject),
        "budget": budget.name.value,
        "period": PERIODS[budget.name],
        "limit": dollars(budget.amount),
        "on_budget_exceeded": budget.on_exceeded.value,
        "since": rfc3339(budget.since),
        "until": None if budget.until is None else rfc3339(budget.until),
    }
    return Event(account_id, budget.subject, f"budget.{happened}", at, data=data | more)


def team_of(subject: str) -> str | None:
    """Return the team that a subject is; None for any other."""
    return subject if subject.startswith(f"{TeamId.prefix}_") else None
