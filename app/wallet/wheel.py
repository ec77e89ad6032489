"""The wheel: which slots of the settlement period have passed since the last look.

The wheel has 600 slots, one a second; every running hold has one. A look takes those that passed since the last. The
first look, one after work changed hands, after a clock that jumped, or after the end of a month takes the full circle.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.leases import Holding
from app.wallet.meter import SETTLE_SECONDS, slot_of
from app.wallet.renewing import Due, find_due
from app.wallet.settling import month_of

FULL_CIRCLE = ((0, SETTLE_SECONDS - 1),)


class Wheel:
    """One worker's place on the wheel, and the holds it set aside since their settlement failed."""

    def __init__(self) -> None:
        self._since: datetime | None = None
        self._fences: Mapping[str, int] = {}
        self._aside: dict[Due, None] = {}

    async def find(self, session: AsyncSession, *, at: datetime, holding: Holding, limit: int) -> list[Due]:
        """Return the holds to settle now, in the order of accounts; a look that finds too many does not move on."""
        changed = dict(holding.fences) != self._fences
        since = None if changed else self._since
        due: list[Due] = []
        for slots in passed_slots(since, at):
            due += await find_due(session, at=at, slots=slots, buckets=holding.buckets, limit=limit - len(due))
        if len(due) < limit:
            self._since, self._fences = at, dict(holding.fences)
        return sorted(due, key=lambda hold: hold.account_id)

    def look_again(self) -> None:
        """Take the full circle next time: what was found was not settled."""
        self._since = None

    def set_aside(self, due: Iterable[Due]) -> None:
        """Remember holds that could not be settled."""
        self._aside.update(dict.fromkeys(due))

    def settled(self, due: Iterable[Due]) -> None:
        """Forget them."""
        for hold in due:
            self._aside.pop(hold, None)

    def take_set_aside(self, holding: Holding) -> list[Due]:
        """Return what was set aside and is still this worker's to settle; it stays there until it is settled."""
        mine = set(holding.buckets)
        self._aside = {hold: None for hold in self._aside if hold.bucket in mine}
        return list(self._aside)


def passed_slots(since: datetime | None, at: datetime) -> tuple[tuple[int, int], ...]:
    """Return the ranges of slots (both ends in) that passed after ``since`` up to ``at``; None asks for all."""
    if since is None or at < since or month_of(at) > since:
        return FULL_CIRCLE
    seconds = int(at.timestamp()) - int(since.timestamp())
    if seconds >= SETTLE_SECONDS:
        return FULL_CIRCLE
    if seconds == 0:
        return ()
    first, last = (slot_of(since) + 1) % SETTLE_SECONDS, slot_of(at)
    if first <= last:
        return ((first, last),)
    return ((first, SETTLE_SECONDS - 1), (0, last))
