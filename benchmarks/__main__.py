"""Measure: ``python -m benchmarks [--quick] [PART…]``. Prints one table of ratios; fails nothing."""

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


def main() -> None:
    """Measure the parts that are named, or all."""
    asked = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    asked.add_argument("--quick", action="store_true", help="fewer and shorter rounds, and no million rentals")
    asked.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        help="money, settlement, serving, catalog, placing, policies, reports, starting",
    )
    told = asked.parse_args()
    uvloop.run(_measure(told.parts, is_quick=told.quick))


async def _measure(names: list[str], *, is_quick: bool) -> None:
    async def settle(ground: Ground, budget: Budget) -> list[Row]:
        return await settlement.measure(ground, budget, is_quick=is_quick)

    async def measure_catalog(ground: Ground, budget: Budget) -> list[Row]:
        return await matching.measure(ground, budget) + await refreshing.measure(ground, budget)

    parts: dict[str, Part] = {
        "money": money.measure,
        "settlement": settle,
        "serving": serving.measure,
        "catalog": measure_catalog,
        "placing": placing.measure,
        "policies": policies.measure,
        "reports": reports.measure,
        "starting": starting.measure,
        "audit": auditing.measure,
    }
    budget = Budget(rounds=3, seconds=2) if is_quick else Budget(rounds=5, seconds=4)
    rows: list[Row] = []
    loads = [report.load()]
    async with laid() as ground:
        for name in names or parts:
            print(f"measuring {name} …", flush=True)
            rows += await parts[name](ground, budget)
            loads.append(report.load())
    report.show(rows, loads=loads)


if __name__ == "__main__":
    main()
