"""The kinds of mail that people choose: which events each tells, in which words, and whether it comes unasked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from app.mail import TemplateName
from app.notifications.told import Told

KindName = Literal[
    "budget_alerts",
    "low_balance",
    "policy_requests",
    "rental_failures",
    "rental_interruptions",
    "rental_stops",
    "webhooks",
]
Audience = Literal["budget", "money", "request", "maker", "administrators"]

KIND_NAMES: Final[tuple[KindName, ...]] = get_args(KindName)

_UNASKED_STOPS: Final = frozenset({"wallet_empty", "budget_exceeded", "policy", "admin", "provider"})
"""Ends of a rental that its owner neither asked for nor set up."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of mail."""

    audience: Audience
    unasked: bool
    """Whether it comes to who has chosen nothing."""
    about: str


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail that an event asks for."""

    kind: KindName
    template: TemplateName
    data: Mapping[str, Any]


KINDS: Final[Mapping[KindName, Kind]] = {
    "budget_alerts": Kind(
        "budget", True, "A budget nears its end, is used up, pauses or resumes: its leads and owners."
    ),
    "low_balance": Kind("money", True, "The wallet has come down to a warning level: owners and billing."),
    "policy_requests": Kind(
        "request", True, "Another policy is asked for: owners and admins; or it was decided: who asked."
    ),
    "rental_failures": Kind("maker", True, "A rental has failed: who made it."),
    "rental_interruptions": Kind("maker", False, "A spot rental was interrupted, or goes on elsewhere: who made it."),
    "rental_stops": Kind("maker", True, "A rental was stopped without being asked for: who made it."),
    "webhooks": Kind("administrators", True, "A webhook was disabled: owners and admins."),
}


def letter_of(event: Told) -> Letter | None:
    """Return the mail that an event asks for; None for most."""
    told = event.shown.data | {"event_id": event.id}
    topic, _, happened = event.type.partition(".")
    match topic, happened:
        case "rental", _:
            return _of_rental(happened, told | {"rental_id": event.subject})
        case "budget", _:
            return Letter("budget_alerts", "budget_alert", told | {"happened": happened, "subject": event.subject})
        case "policy", "requested" | "request_approved" | "request_denied":
            decided = happened.removeprefix("request_")
            return Letter("policy_requests", "policy_request", told | {"happened": decided, "actor": event.actor})
        case "wallet", "low" | "depleted":
            return Letter("low_balance", "low_balance", told)
        case "webhook", "disabled":
            return Letter("webhooks", "webhook_disabled", told)
        case _:
            return None


def _of_rental(happened: str, told: Mapping[str, Any]) -> Letter | None:
    if happened == "failed":
        return Letter("rental_failures", "rental_failed", {"reason": "internal", **told})
    if happened == "stopped" and told.get("end_reason") in _UNASKED_STOPS:
        return Letter("rental_stops", "rental_stopped", {**told, "reason": told["end_reason"]})
    if happened in {"interrupted", "recovered"}:
        return Letter("rental_interruptions", "rental_interrupted", {**told, "happened": happened})
    return None
