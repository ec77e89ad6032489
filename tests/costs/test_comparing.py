"""A day's books beside what we had: what agrees, and what is told."""

from __future__ import annotations

import pytest

from app.costs import compare
from app.costs.comparing import Had
from app.providers import CostLine

CENT = 10_000


def had(least: int, most: int, machine_id: str = "m1") -> Had:
    return Had(machine_id, f"hg-ours-{machine_id}", "rent_1", least, most)


def compared(lines, machines, known=()):
    return compare(lines, machines, known=set(known), is_ours=lambda marker: marker.startswith("hg-ours-"))


@pytest.mark.parametrize(
    ("theirs", "kind"),
    [
        (500_000, None),
        (600_000, None),
        (500_000 - CENT, None),
        (500_000 - CENT - 1, "amount"),
        (600_000 + CENT, None),
        (600_000 + CENT + 1, "amount"),
        (0, "amount"),
    ],
)
def test_books_within_the_bounds_and_a_cent_agree(theirs, kind):
    found = compared([CostLine("m1", "hg-ours-m1", theirs)], [had(500_000, 600_000)])
    assert [one.kind for one in found.differences] == ([kind] if kind else [])
    assert found.ok is (kind is None)


@pytest.mark.parametrize(("theirs", "ok"), [(101_000_000, True), (101_000_001, False), (98_999_999, False)])
def test_of_much_money_one_per_cent_is_let_be(theirs, ok):
    assert compared([CostLine("m1", None, theirs)], [had(100_000_000, 100_000_000)]).ok is ok


def test_machine_that_cost_and_is_not_booked_is_missing():
    found = compared([], [had(20_000, 30_000), had(CENT, 30_000, "m2")])
    assert [(one.kind, one.machine_id, one.theirs) for one in found.differences] == [("missing", "m1", 0)]


def test_machine_in_the_books_that_nobody_knows_is_told_even_if_it_cost_little():
    lines = [CostLine("x1", None, 1), CostLine("x2", "hg-ours-rent_9-1", 5)]
    found = compared(lines, [])
    assert [(one.kind, one.machine_id) for one in found.differences] == [("unknown", "x1"), ("unknown", "x2")]
    assert found.theirs == 6


def test_machine_of_somebody_else_is_only_counted():
    found = compared([CostLine("s1", "training-box", 700_000), CostLine("s2", "hg-other-x", 300_000)], [])
    assert (found.ok, found.foreign, found.foreign_micros, found.theirs) == (True, 2, 1_000_000, 0)


def test_machine_of_ours_that_is_booked_on_another_day_is_late():
    lines = [CostLine("old", None, CENT + 1), CostLine("older", None, CENT)]
    found = compared(lines, [], known={"old", "older"})
    assert [(one.kind, one.machine_id) for one in found.differences] == [("late", "old")]


def test_lines_of_one_machine_are_one_sum():
    lines = [CostLine("m1", None, 300_000), CostLine("m1", "hg-ours-m1", 250_000)]
    found = compared(lines, [had(500_000, 600_000)])
    assert (found.ok, found.theirs, found.machines) == (True, 550_000, 1)


def test_report_tells_dollars():
    report = compared(
        [CostLine("m1", "hg-ours-m1", 900_000), CostLine("s", "box", 1)], [had(500_000, 600_000)]
    ).document()
    assert report == {
        "books": True,
        "machines": 1,
        "theirs": "0.90",
        "least": "0.50",
        "most": "0.60",
        "differences": [
            {
                "kind": "amount",
                "machine_id": "m1",
                "marker": "hg-ours-m1",
                "rental_id": "rent_1",
                "theirs": "0.90",
                "least": "0.50",
                "most": "0.60",
            }
        ],
        "foreign": {"machines": 1, "amount": "0.000001"},
    }
