"""Handling what Stripe told: look at the object, make ours agree, note what came of it.

Events that point at the same object are handled together, by one look: each only says that there may be something new.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app.kit.ids import AccountId
from app.topups.edge import stripe_of
from app.topups.events.pointing import Pointer, Target, pointer_of
from app.topups.events.queue import End, StoredEvent
from app.topups.gateway.errors import StripeMissing
from app.topups.payments.applying import Applied, Outcome, apply_payment
from app.topups.payments.fraud_warnings import heed_fraud_warning
from app.topups.tools import TopupTools
from app.topups.visits.cards import sync_card, sync_setup
from app.topups.visits.syncing import sync_session


@dataclass(frozen=True, slots=True)
class Group:
    """Events that point at the same object."""

    pointer: Pointer | None
    events: tuple[StoredEvent, ...]

    def __str__(self) -> str:
        """Name it for the runner: one object is looked at by one step at a time."""
        return f"{self.pointer.target}:{self.pointer.id}" if self.pointer else self.events[0].id


@dataclass(frozen=True, slots=True)
class Handled:
    """What came of looking."""

    state: End
    outcome: str


def grouped(events: Sequence[StoredEvent]) -> list[Group]:
    """Return events by what they point at, in the order in which each object was first named."""
    groups: defaultdict[Pointer | str, list[StoredEvent]] = defaultdict(list)
    for event in events:
        groups[_pointer(event) or event.id].append(event)
    return [Group(key if isinstance(key, Pointer) else None, tuple(found)) for key, found in groups.items()]


async def look_at(tools: TopupTools, pointer: Pointer | None, *, at: datetime) -> Handled:
    """Make ours agree with the object that some events point at.

    Raises:
        GatewayError: Stripe did not answer, or not as expected; nothing is lost by asking again.
    """
    if pointer is None:
        return Handled("ignored", "points_at_nothing")
    try:
        return await _look_at(tools, pointer, at=at)
    except StripeMissing:
        return Handled("ignored", "missing_at_stripe")


async def _look_at(tools: TopupTools, pointer: Pointer, *, at: datetime) -> Handled:
    match pointer.target:
        case Target.PAYMENT | Target.FRAUD_WARNING:
            look = heed_fraud_warning if pointer.target is Target.FRAUD_WARNING else apply_payment
            payment_intent_id = await _payment_of(tools, pointer)
            if payment_intent_id is None:
                return Handled("ignored", "charge_without_payment")
            return _told(await look(tools, payment_intent_id, at=at))
        case Target.SESSION:
            row = await sync_session(tools, pointer.id, at=at)
            return Handled("done", f"checkout_{row.state}") if row else Handled("ignored", "not_our_checkout")
        case Target.SETUP:
            return _saved(await sync_setup(tools, pointer.id, at=at))
        case Target.CARD:
            return _saved(await sync_card(tools, pointer.id, at=at))


async def _payment_of(tools: TopupTools, pointer: Pointer) -> str | None:
    return await stripe_of(tools).get_payment_of_charge(pointer.id) if pointer.by_charge else pointer.id


def _saved(owner: AccountId | None) -> Handled:
    return Handled("done", "cards_read") if owner else Handled("ignored", "nobodys_card")


def _told(applied: Applied) -> Handled:
    """A payment of nobody's, or one that differs from what we asked for, is left alone; the outcome says why."""
    if applied.outcome in (Outcome.FOREIGN, Outcome.REFUSED):
        return Handled("ignored", applied.reason or applied.outcome.value)
    return Handled("done", applied.outcome.value)


def _pointer(event: StoredEvent) -> Pointer | None:
    """Read again what was stored: it was an event when it was."""
    return pointer_of(event.type, json.loads(event.payload)["data"]["object"])
