"""Measure: ``python -m benchmarks [--quick] [PART…]``. Prints a table of ratios per part; fails nothing."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable

import uvloop

from benchmarks import (
    auditing,
    matching,
    money,
    placing,
    policies,
    refreshing,
    report,
    reports,
    serving,
    settlement,
    starting,
)
from benchmarks.ground import Ground, laid
from benchmarks.money import Budget
from benchmarks.report import Row

Part = Callable[[Ground, Budget], Awaitable[list[Row]]]


async def _catalog(ground: Ground, budget: Budget) -> list[Row]:
    return await matching.measure(ground, budget) + await refreshing.measure(ground, budget)


_PARTS: dict[str, Part] = {
    "money": money.measure,
    "settlement": settlement.measure,
    "serving": serving.measure,
    "catalog": _catalog,
    "placing": placing.measure,
    "policies": policies.measure,
    "reports": reports.measure,
    "starting": starting.measure,
    "audit": auditing.measure,
}


def main() -> None:
    """Measure the parts that are named, or all."""
    asked = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    asked.add_argument("--quick", action="store_true", help="fewer and shorter rounds, and no million rentals")
    asked.add_argument("parts", nargs="*", choices=_PARTS, metavar="PART", help=", ".join(_PARTS))
    told = asked.parse_args()
    budget = Budget(rounds=3, seconds=2, is_quick=True) if told.quick else Budget(rounds=5, seconds=4)
    uvloop.run(_measure(told.parts or list(_PARTS), budget))


async def _measure(names: list[str], budget: Budget) -> None:
    async with laid() as ground:
        for name in names:
            print(f"measuring {name} …", flush=True)
            before = report.load()
            report.show(await _PARTS[name](ground, budget), loads=(before, report.load()))


if __name__ == "__main__":
    main()
