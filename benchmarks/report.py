"""What a benchmark says: rows of a table, each a ratio within one run (or a time that has a bound)."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Row:
    """One measured figure with what it should be."""

    what: str
    measured: float
    target: float
    is_ceiling: bool = False
    unit: str = ""
    said: str = ""
    """The figures behind it, for orientation alone: they belong to this machine and this minute."""

    @property
    def holds(self) -> bool:
        """Whether the target is met."""
        return self.measured <= self.target if self.is_ceiling else self.measured >= self.target


async def rate_of(step: Callable[[int], Awaitable[object]], times: int) -> float:
    """Return how often per second one client takes a step, one after the other."""
    began = time.perf_counter()
    for number in range(times):
        await step(number)
    return times / (time.perf_counter() - began)


def of(measured: Sequence[float], base: Sequence[float]) -> float:
    """Return the median of the ratios of rounds that were measured side by side."""
    return statistics.median(one / other for one, other in zip(measured, base, strict=True))


def rates(*named: tuple[str, Sequence[float]]) -> str:
    """Return the medians behind a ratio as text."""
    return ", ".join(f"{name} {statistics.median(values):,.0f}/s" for name, values in named)


def load() -> str:
    """Return the machine's load averages."""
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


def show(rows: Sequence[Row], *, loads: Sequence[str]) -> None:
    """Print the rows as a table, and what the machine was doing meanwhile."""
    table = Table("", "measured", "target", "", "figures behind it (this machine, this minute)")
    for row in rows:
        sign = "≤" if row.is_ceiling else "≥"
        table.add_row(
            row.what,
            f"{row.measured:.2f}{row.unit}",
            f"{sign} {row.target:g}{row.unit}",
            "ok" if row.holds else "MISSED",
            row.said,
        )
    console = Console(width=max(150, Console().width))
    console.print(table)
    console.print(f"{os.cpu_count()} cores; load averages before and after: {' | '.join(loads)}")
