"""What a receipt tells of a rental's time."""

from __future__ import annotations

from datetime import datetime, timedelta

from app.rentals.models import RunRow
from app.rentals.showing.receipts import stretches


def run(at: datetime, attempt: int, began: int, ended: int, because: str) -> RunRow:
    return RunRow(
        kind="ran",
        attempt=attempt,
        rate=360,
        began_at=at + timedelta(seconds=began),
        ended_at=at + timedelta(seconds=ended),
        ended_because=because,
    )


def test_gaps_stand_between_and_after_what_ran(at: datetime) -> None:
    runs = [run(at, 1, 0, 600, "interrupted"), run(at, 3, 700, 800, "interrupted")]
    told = stretches(runs, ended_at=at + timedelta(seconds=1700))
    assert [(one.kind, one.seconds, one.attempt, one.rate_per_hour, one.ended_because) for one in told] == [
        ("ran", 600, 1, 360, "interrupted"),
        ("gap", 100, None, 0, None),
        ("ran", 100, 3, 360, "interrupted"),
        ("gap", 900, None, 0, None),
    ]


def test_one_that_ran_to_its_end_has_no_gap_and_one_that_never_ran_nothing_at_all(at: datetime) -> None:
    assert [one.kind for one in stretches([run(at, 1, 0, 60, "user")], ended_at=at + timedelta(seconds=60))] == ["ran"]
    assert stretches([], ended_at=at) == []
