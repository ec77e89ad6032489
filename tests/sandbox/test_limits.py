from datetime import UTC, datetime, timedelta

from app.sandbox.limits import Limiter, Pace

START = datetime(2026, 3, 1, tzinfo=UTC)


def refused(limiter, *paces, after):
    return limiter.refuses(paces, "me", at=START + timedelta(seconds=after)) is not None


def test_a_call_within_the_interval_is_refused_and_not_counted():
    limiter, pace = Limiter(enabled=True), Pace("show", 2)
    assert [refused(limiter, pace, after=s) for s in (0, 1, 1.9, 2, 3, 4)] == [False, True, True, False, True, False]


def test_a_penalty_keeps_the_door_closed_longer():
    limiter, pace = Limiter(enabled=True), Pace("create", 4.5, penalty_seconds=12)
    assert [refused(limiter, pace, after=s) for s in (0, 3, 6, 14, 15)] == [False, True, True, True, False]


def test_a_burst_is_allowed_within_its_window():
    limiter, pace = Limiter(enabled=True), Pace("search", 60, calls=3)
    assert [refused(limiter, pace, after=s) for s in (0, 1, 2, 3, 59, 60)] == [False, False, False, True, True, False]


def test_nothing_is_refused_while_off():
    limiter, pace = Limiter(enabled=False), Pace("show", 2)
    assert not any(refused(limiter, pace, after=0) for _ in range(5))
