"""Ranking places by more than their price: what is cheap, near and likely to start. Lower is better.

``weighted`` (the default)::

    score = 0.55 x cost + 0.25 x latency + 0.20 x (1 - availability)

where cost is the price per hour over the dearest price of all that is considered, latency likewise over the longest, and
availability is the probability of a launch as the search for the cheapest takes it. So each part lies between 0 and 1,
and twice the price is twice the part.

``ratio``::

    score = (price per hour / availability) x (latency in ms / 100)

A place whose latency was never measured counts with the median of those that were, and says so; where none was, with
100 ms, which leaves the ratio to price and availability.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

WEIGHTS_PERCENT = {"cost": 55, "latency": 25, "unavailability": 20}
ASSUMED_LATENCY_MS = 100
_WHOLE = 1_000_000


class Formula(StrEnum):
    """How places are scored."""

    WEIGHTED = "weighted"
    RATIO = "ratio"


class LatencySource(StrEnum):
    """Where a latency comes from."""

    MEASURED = "measured"
    MEDIAN = "median"
    """Not measured at this place: the median of the places where it was."""
    ASSUMED = "assumed"
    """Not measured anywhere."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A listing as far as it matters here."""

    listing_id: str
    micros_per_hour: int
    """All-in, with a minimum commitment spread over the time expected."""
    latency_ms: int | None
    """The median of what was measured in its provider's region."""
    tries_permille: int
    launches: int
    """How many launches the probability was measured from."""

    @property
    def availability_ppm(self) -> int:
        """The probability of a launch."""
        return 1000 * _WHOLE // self.tries_permille


@dataclass(frozen=True, slots=True)
class Score:
    """A candidate's score with its parts, all in millionths."""

    candidate: Candidate
    latency_ms: int
    latency_source: LatencySource
    cost_ppm: int
    latency_ppm: int
    score_ppm: int


@dataclass(frozen=True, slots=True)
class Ranking:
    """The best candidates and what they were measured against."""

    best: Sequence[Score]
    considered: int
    dearest_micros_per_hour: int
    longest_latency_ms: int


def rank(candidates: Sequence[Candidate], formula: Formula, *, known_latencies: Sequence[int], limit: int) -> Ranking:
    """Return the best of the candidates; at the same score the cheaper comes first, then by id."""
    if not candidates:
        return Ranking((), 0, 0, 0)
    stand_in = max(1, statistics.median_low(known_latencies)) if known_latencies else ASSUMED_LATENCY_MS
    latencies = [stand_in if found.latency_ms is None else max(1, found.latency_ms) for found in candidates]
    dearest, longest = max(found.micros_per_hour for found in candidates), max(latencies)
    unknown = LatencySource.MEDIAN if known_latencies else LatencySource.ASSUMED
    scores = [
        _scored(
            found,
            formula,
            latency_ms=latency,
            latency_source=unknown if found.latency_ms is None else LatencySource.MEASURED,
            cost_ppm=found.micros_per_hour * _WHOLE // dearest,
            latency_ppm=latency * _WHOLE // longest,
        )
        for found, latency in zip(candidates, latencies, strict=True)
    ]
    scores.sort(key=lambda score: (score.score_ppm, score.candidate.micros_per_hour, score.candidate.listing_id))
    return Ranking(scores[:limit], len(candidates), dearest, longest)


def _scored(
    candidate: Candidate,
    formula: Formula,
    *,
    latency_ms: int,
    latency_source: LatencySource,
    cost_ppm: int,
    latency_ppm: int,
) -> Score:
    availability = candidate.availability_ppm
    if formula is Formula.RATIO:
        score = candidate.micros_per_hour * _WHOLE * latency_ms // (availability * 100)
    else:
        score = (
            WEIGHTS_PERCENT["cost"] * cost_ppm
            + WEIGHTS_PERCENT["latency"] * latency_ppm
            + WEIGHTS_PERCENT["unavailability"] * (_WHOLE - availability)
        ) // 100
    return Score(candidate, latency_ms, latency_source, cost_ppm, latency_ppm, score)
