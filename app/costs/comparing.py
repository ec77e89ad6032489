"""A cloud's books of one day beside what we know that we had there. Pure; amounts in micro-dollars.

What a machine must have cost is known within bounds: at the least its GPUs from the check to the end that we asked for, at
the most everything from its creation to the moment it was seen to be gone. Books within the bounds, or beyond them by no
more than 1 % or 1 cent, whichever is more, agree.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final

from app.kit.money import dollars
from app.providers import CostLine

TOLERANCE_PERCENT: Final = 1
TOLERANCE_MICROS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Had:
    """A machine that we had on the day."""

    machine_id: str
    marker: str
    rental_id: str | None
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Difference:
    """A machine of which the books say something else than we can explain."""

    kind: str
    """``amount``; ``missing``: it cost, and is not in the books; ``unknown``: in the books, and not of us, as far as we
    know; ``late``: of ours, but not of that day."""
    machine_id: str
    marker: str | None
    rental_id: str | None
    theirs: int
    least: int
    most: int

    def document(self) -> dict[str, Any]:
        """Return it as JSON, amounts in dollars."""
        return {
            "kind": self.kind,
            "machine_id": self.machine_id,
            "marker": self.marker,
            "rental_id": self.rental_id,
            "theirs": dollars(self.theirs),
            "least": dollars(self.least),
            "most": dollars(self.most),
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of a day."""

    machines: int
    """How many we had."""
    theirs: int
    """What the books say of ours, and of what may be."""
    least: int
    most: int
    differences: tuple[Difference, ...]
    foreign: int
    """How many machines in the books carry a marker that is not ours."""
    foreign_micros: int

    @property
    def ok(self) -> bool:
        """Say whether the books can be explained."""
        return not self.differences

    def document(self) -> dict[str, Any]:
        """Return it as JSON, amounts in dollars."""
        return {
            "books": True,
            "machines": self.machines,
            "theirs": dollars(self.theirs),
            "least": dollars(self.least),
            "most": dollars(self.most),
            "differences": [found.document() for found in self.differences],
            "foreign": {"machines": self.foreign, "amount": dollars(self.foreign_micros)},
        }


def compare(
    lines: Iterable[CostLine], had: Iterable[Had], *, known: AbstractSet[str], is_ours: Callable[[str], bool]
) -> Comparison:
    """Lay a day's lines beside the machines that we had. ``known`` are ids of ours, whenever they ran."""
    ours = {one.machine_id: one for one in had}
    booked, markers = _summed(lines)
    strangers = {
        machine_id
        for machine_id in booked.keys() - ours.keys() - known
        if (marker := markers[machine_id]) is not None and not is_ours(marker)
    }
    found = [_held(one, booked.get(one.machine_id)) for one in ours.values()]
    for machine_id in sorted(booked.keys() - ours.keys() - strangers):
        kind = "late" if machine_id in known else "unknown"
        if booked[machine_id] > TOLERANCE_MICROS or kind == "unknown":
            found.append(Difference(kind, machine_id, markers[machine_id], None, booked[machine_id], 0, 0))
    return Comparison(
        machines=len(ours),
        theirs=sum(micros for machine_id, micros in booked.items() if machine_id not in strangers),
        least=sum(one.least for one in ours.values()),
        most=sum(one.most for one in ours.values()),
        differences=tuple(one for one in found if one is not None),
        foreign=len(strangers),
        foreign_micros=sum(booked[machine_id] for machine_id in strangers),
    )


def _summed(lines: Iterable[CostLine]) -> tuple[Mapping[str, int], Mapping[str, str | None]]:
    booked: defaultdict[str, int] = defaultdict(int)
    markers: dict[str, str | None] = {}
    for line in lines:
        booked[line.machine_id] += line.micros
        markers[line.machine_id] = line.marker or markers.get(line.machine_id)
    return booked, markers


def _held(one: Had, theirs: int | None) -> Difference | None:
    said = theirs or 0
    if said < one.least - _tolerance(one.least):
        kind = "missing" if theirs is None else "amount"
    elif said > one.most + _tolerance(one.most):
        kind = "amount"
    else:
        return None
    return Difference(kind, one.machine_id, one.marker, one.rental_id, said, one.least, one.most)


def _tolerance(micros: int) -> int:
    return max(TOLERANCE_MICROS, micros * TOLERANCE_PERCENT // 100)
