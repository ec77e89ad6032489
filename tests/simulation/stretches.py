"""Each stretch of a rental by itself: was it charged for more than its machine could be used, or kept its disk?

A second that is billed belongs to a stretch by its number: the billable seconds of a rental are those of its stretches,
one after another. What is given back is given back for the seconds that were billed last, and a stretch that follows is
numbered after them.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

from app.sandbox.machines import Truth

RUNS = """
SELECT s.rental_id, s.kind, s.began_at, s.ended_at, s.ended_because, s.rate, a.machine_id, h.overrun_seconds
FROM rental_runs s
JOIN attempts a ON a.account_id = s.account_id AND a.rental_id = s.rental_id AND a.number = s.attempt
JOIN holds h ON h.account_id = s.account_id AND h.rental_id = s.rental_id
ORDER BY s.rental_id, s.number
"""
LINES = """
SELECT rental_id, kind, amount, effective_at, rate, from_s, to_s FROM transfers
WHERE kind IN ('usage', 'host_fault_refund') AND rental_id IS NOT NULL ORDER BY account_id, seq
"""
_SECOND = timedelta(seconds=1)


@dataclass
class Stretch:
    """One row of ``rental_runs``, with what it was charged."""

    run: Any
    ended_at: datetime
    charged: Fraction = Fraction(0)

    @property
    def seconds(self) -> int:
        return (self.ended_at - self.run["began_at"]) // _SECOND

    def worth(self, machine: Truth) -> int:
        """Return what may be charged for it at most: whole seconds of use, or of a disk that was there."""
        spans = machine.usable if self.run["kind"] == "ran" else ((machine.created_at, machine.ended_at),)
        length = (self.ended_at - self.run["began_at"]) / _SECOND
        good = length - uncovered(self.run["began_at"], self.ended_at, spans)
        return math.ceil(self.run["rate"] * (good + self.run["overrun_seconds"]) / 3600)

    def told(self, machine: Truth) -> str:
        run = self.run
        return (
            f"{run['rental_id']} {run['kind']} on {machine.provider} {machine.id} {run['began_at']:%H:%M:%S}-"
            f"{self.ended_at:%H:%M:%S} {run['ended_because']}, usable {_spans(machine.usable)}"
        )


def overcharged(
    runs: Sequence[Any], lines: Sequence[Any], machines: dict[str, Truth], *, now: datetime
) -> tuple[list[str], int]:
    """Return every stretch that cost more than it was worth, and how many there were in all."""
    rentals: dict[str, list[Stretch]] = defaultdict(list)
    for run in runs:
        rentals[run["rental_id"]].append(Stretch(run, run["ended_at"] or now))
    billed: dict[str, _Bill] = defaultdict(_Bill)
    for line in lines:
        billed[line["rental_id"]].post(line)
    for rental_id, bill in billed.items():
        _share(rentals[rental_id], bill)
    found = []
    for stretch in (one for stretches in rentals.values() for one in stretches):
        machine = machines[stretch.run["machine_id"]]
        if stretch.charged > stretch.worth(machine) + 1:
            found.append(f"cost {float(stretch.charged):.1f}, worth {stretch.worth(machine)}: {stretch.told(machine)}")
    return found, sum(map(len, rentals.values()))


def uncovered(start: datetime, end: datetime, spans: Any) -> float:
    """Return how many seconds between two moments lie outside some spans."""
    left = (end - start) / _SECOND
    for begins, ends in spans:
        inside = (min(end, ends or end) - max(start, begins)) / _SECOND
        left -= max(0.0, inside)
    return left


@dataclass
class _Part:
    """Seconds of a rental that were billed at one price."""

    from_s: int
    to_s: Fraction
    per_second: Fraction


@dataclass
class _Bill:
    """What a rental was billed."""

    parts: list[_Part] = field(default_factory=list)
    numbered: int = 0
    forgiven: list[tuple[datetime, int]] = field(default_factory=list)
    """When something was given back, and the seconds that had a number by then."""

    def post(self, line: Any) -> None:
        """Add what was billed, or take what was given back from its end."""
        left = Fraction(line["amount"])
        if line["kind"] == "usage":
            self.numbered = line["to_s"]
            seconds = line["to_s"] - line["from_s"]
            self.parts.append(_Part(line["from_s"], Fraction(line["to_s"]), left / seconds))
            return
        self.forgiven.append((line["effective_at"], self.numbered))
        while left and self.parts:
            last = self.parts[-1]
            given = min(left, last.per_second * (last.to_s - last.from_s))
            left -= given
            if given:
                last.to_s -= given / last.per_second
            if last.to_s == last.from_s:
                self.parts.pop()

    def first(self, stretch: Stretch, after: int) -> int:
        """Return the number of a stretch's first second, where ``after`` follows the last stretch's."""
        return max([after, *(numbered for at, numbered in self.forgiven if at <= stretch.run["began_at"])])


def _share(stretches: list[Stretch], bill: _Bill) -> None:
    """Share out what was billed by the numbers of its seconds; those past the last stretch are the last one's."""
    ends: float = 0
    for stretch in stretches:
        begins = bill.first(stretch, int(ends))
        ends = math.inf if stretch is stretches[-1] else begins + stretch.seconds
        for part in bill.parts:
            stretch.charged += part.per_second * max(Fraction(0), min(ends, part.to_s) - max(begins, part.from_s))


def _spans(spans: Any) -> str:
    return ", ".join(f"{begins:%H:%M:%S}-{ends and format(ends, '%H:%M:%S')}" for begins, ends in spans)
