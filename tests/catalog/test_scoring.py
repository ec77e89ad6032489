from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.catalog.scoring import ASSUMED_LATENCY_MS, Candidate, Formula, LatencySource, rank


def _candidate(name, dollars, latency_ms, *, tries=1000, launches=0):
    return Candidate(name, int(dollars * 1_000_000), latency_ms, tries, launches)


def _ranked(candidates, formula=Formula.WEIGHTED, *, known=(10, 40), limit=3):
    return rank(candidates, formula, known_latencies=known, limit=limit)


def test_the_weighted_score_is_the_sum_of_its_three_parts() -> None:
    near, far = _candidate("near", 2, 10), _candidate("far", 1, 40, tries=1250)
    best, second = _ranked([far, near]).best
    assert (best.candidate.listing_id, best.cost_ppm, best.latency_ppm, best.candidate.availability_ppm) == (
        "far", 500_000, 1_000_000, 800_000,
    )  # fmt: skip
    assert best.score_ppm == 55 * 5_000 + 25 * 10_000 + 20 * 2_000
    assert second.score_ppm == 55 * 10_000 + 25 * 2_500


def test_the_ratio_is_price_over_availability_times_latency_over_a_hundred() -> None:
    (only,) = _ranked([_candidate("one", 2, 50, tries=1250)], Formula.RATIO).best
    assert only.score_ppm == 2_000_000 * 50 // (100 * 8) * 10


def test_the_formulas_may_choose_differently() -> None:
    cheap, near = _candidate("cheap", 1, 200), _candidate("near", 2, 10)
    assert _ranked([cheap, near]).best[0].candidate.listing_id == "cheap"
    assert _ranked([cheap, near], Formula.RATIO).best[0].candidate.listing_id == "near"


def test_a_latency_that_nobody_measured_is_the_median_of_those_that_are_known_and_says_so() -> None:
    unknown, known = _candidate("unknown", 1, None), _candidate("known", 1, 30)
    scores = {score.candidate.listing_id: score for score in _ranked([unknown, known], known=[10, 20, 60]).best}
    assert (scores["unknown"].latency_ms, scores["unknown"].latency_source) == (20, LatencySource.MEDIAN)
    assert (scores["known"].latency_ms, scores["known"].latency_source) == (30, LatencySource.MEASURED)
    (assumed,) = _ranked([unknown], known=[]).best
    assert (assumed.latency_ms, assumed.latency_source) == (ASSUMED_LATENCY_MS, LatencySource.ASSUMED)


def test_of_nothing_nothing_is_ranked() -> None:
    assert _ranked([]).best == ()


CANDIDATES = st.lists(
    st.builds(
        Candidate,
        st.uuids().map(str),
        st.integers(1, 10**9),
        st.none() | st.integers(0, 5000),
        st.integers(1000, 4000),
        st.integers(0, 100),
    ),
    min_size=1,
    max_size=30,
)


@pytest.mark.parametrize("formula", Formula)
@given(CANDIDATES)
def test_whatever_is_ranked_the_best_come_first_and_every_score_follows_from_what_is_shown(formula, candidates) -> None:
    ranking = _ranked(candidates, formula, limit=len(candidates))
    scores = [score.score_ppm for score in ranking.best]
    assert scores == sorted(scores)
    assert {score.candidate for score in ranking.best} == set(candidates)
    for score in ranking.best:
        cost = Fraction(score.candidate.micros_per_hour, ranking.dearest_micros_per_hour)
        latency = Fraction(score.latency_ms, ranking.longest_latency_ms)
        availability = Fraction(1000, score.candidate.tries_permille)
        if formula is Formula.WEIGHTED:
            exact = 1_000_000 * (
                Fraction(55, 100) * cost + Fraction(1, 4) * latency + Fraction(1, 5) * (1 - availability)
            )
            assert abs(exact - score.score_ppm) <= 3
            assert 0 <= score.score_ppm <= 1_000_000
        else:
            exact = score.candidate.micros_per_hour / availability * score.latency_ms / 100
            assert abs(exact - score.score_ppm) <= 1 + exact / 200_000
