"""The meter: pure arithmetic on one hold. What is due, how far the money goes, what a renewal asks for."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import NamedTuple

from app.kit.clock import whole_seconds
from app.kit.ids import AccountId, RentalId
from app.kit.money import cost, seconds_covered

STOP_BUDGET_SECONDS = 60
"""How long before the last funded second a stop is issued."""

_STOP_BUDGET = timedelta(seconds=STOP_BUDGET_SECONDS)

SETTLE_SECONDS = 600
"""How often a running hold is settled."""


class Meter(NamedTuple):
    """A hold as the arithmetic sees it. Amounts in micro-dollars, ``rate`` per hour."""

    account_id: AccountId
    rental_id: RentalId
    rate: int
    held: int
    charged: int
    billed_seconds: int
    base_seconds: int
    earlier_seconds: int
    earlier_charged: int
    rate_changes: int
    overrun_seconds: int
    max_spend: int | None
    started_at: datetime | None
    settled_at: datetime | None
    funded_until: datetime | None
    ends_at: datetime | None
    ends_because: str | None
    stop_by: datetime | None = None
    stop_by_because: str | None = None

    def elapsed(self, at: datetime) -> int:
        """Return all whole seconds that ran up to ``at``, paid or lost; none after ``stop_by`` counts."""
        if self.started_at is None:
            return self.base_seconds
        until = at if self.stop_by is None else min(at, self.stop_by)
        return self.base_seconds + whole_seconds(self.started_at, until)

    def cost(self, seconds: int) -> int:
        """Return C(n): what the first n billable seconds cost in all, for any n since the present rate holds."""
        return self.earlier_charged + cost(self.rate, seconds - self.earlier_seconds)

    def covered(self, micros: int) -> int:
        """Return the largest n with C(n) ≤ micros."""
        return self.earlier_seconds + seconds_covered(self.rate, micros - self.earlier_charged)

    def billable(self, at: datetime) -> int:
        """Return the seconds that the hold can pay for up to ``at``; never fewer than were billed."""
        affordable = self.covered(self.charged + self.held)
        return max(self.billed_seconds, min(self.elapsed(at) - self.overrun_seconds, affordable))

    def accrued(self, at: datetime) -> int:
        """Return what has been used and not yet captured, in micro-dollars; it lies inside ``held``."""
        return self.cost(self.billable(at)) - self.charged

    def captured(self, at: datetime) -> Meter:
        """Return the meter after capturing what is due at ``at``, as far as the hold goes."""
        seconds = self.billable(at)
        charged = self.cost(seconds)
        return self._replace(
            held=self.held - (charged - self.charged),
            charged=charged,
            billed_seconds=seconds,
            settled_at=at if self.settled_at is None else max(self.settled_at, at),
        )

    def unpaid(self, at: datetime) -> int:
        """Return the seconds that ran up to ``at`` and were neither billed nor written off."""
        return max(0, self.elapsed(at) - self.overrun_seconds - self.billed_seconds)

    def written_off(self, at: datetime) -> Meter:
        """Return the meter with its unpaid seconds counted as overrun: our loss, never billed later."""
        lost = self.unpaid(at)
        return self._replace(overrun_seconds=self.overrun_seconds + lost) if lost else self

    def wanted(self) -> int:
        """Return what a renewal asks for: up to one full hour held, within ``max_spend``."""
        return max(0, self._full() - self.held)

    def surplus(self) -> int:
        """Return what is held beyond one full hour, or ``max_spend``: only a cheaper rate leaves any."""
        return max(0, self.held - self._full())

    def at_rate(self, rate: int) -> Meter:
        """Return the meter going on at another rate: what was billed stays as it is. All that is due is captured."""
        return self._replace(
            rate=rate,
            earlier_seconds=self.billed_seconds,
            earlier_charged=self.charged,
            rate_changes=self.rate_changes + 1,
        )

    def capped(self, stop_by: datetime | None, because: str | None, *, at: datetime) -> Meter:
        """Return the meter that counts nothing after ``stop_by``; None takes the cap away.

        What was captured stays billed, and a cap that has passed stays: what ran beyond it was never to be billed.
        """
        if self.stop_by is not None and self.stop_by <= at:
            return self
        if stop_by is None:
            return self._replace(stop_by=None, stop_by_because=None).renewed(0)
        earliest = stop_by if self.settled_at is None else max(stop_by, self.settled_at)
        return self._replace(stop_by=earliest, stop_by_because=because).renewed(0)

    def renewed(self, amount: int) -> Meter:
        """Return the meter with so much more held, the moment its money ends, and when and why it must stop."""
        held = self.held + amount
        funded_until = self.money_ends(more=amount)
        ends_at = ends_because = None
        if held < self.rate:
            capped = self.max_spend is not None and self.charged + held >= self.max_spend
            ends_at = funded_until and funded_until - _STOP_BUDGET
            ends_because = "max_spend" if capped else "wallet_empty"
        if self.stop_by is not None and funded_until is not None and (ends_at is None or self.stop_by <= ends_at):
            ends_at, ends_because = self.stop_by, self.stop_by_because
        return self._replace(held=held, funded_until=funded_until, ends_at=ends_at, ends_because=ends_because)

    def money_ends(self, *, more: int = 0) -> datetime | None:
        """Return the last moment that the hold, and ``more`` micro-dollars, cover; None before it runs."""
        if self.started_at is None:
            return None
        seconds = self.covered(self.charged + self.held + more) + self.overrun_seconds - self.base_seconds
        return self.started_at + timedelta(seconds=max(0, seconds))

    def _full(self) -> int:
        return self.rate if self.max_spend is None else max(0, min(self.rate, self.max_spend - self.charged))


def slot_of(started_at: datetime) -> int:
    """Return the second within the settlement period at which a hold that started then is settled."""
    return int(started_at.timestamp()) % SETTLE_SECONDS


def share(available: int, meters: list[Meter]) -> list[int]:
    """Divide what is available among renewals, the hold whose money ends first being served first.

    Returns what each gets, in the order given, in micro-dollars.
    """
    wanted = [meter.wanted() for meter in meters]
    if sum(wanted) <= available:
        return wanted
    grants = [0] * len(meters)
    order = sorted(range(len(meters)), key=lambda n: (_ends_at(meters[n]), meters[n].rental_id))
    for n in order:
        grants[n] = min(wanted[n], available)
        available -= grants[n]
    return grants


def _ends_at(meter: Meter) -> float:
    ends = meter.money_ends()
    return ends.timestamp() if ends else math.inf
