"""Reports as text and CSV, and a forecast in sentences."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final

from app.kit.money import dollars
from app.reports.charging_back import Chargeback
from app.reports.forecasting import DAY_SECONDS, Forecast
from app.reports.spending import Grouping, Spending, Sums

SPEND_COLUMNS: Final = ("key", "name", "rentals", "seconds", "charged", "refunded", "net")
CHARGEBACK_COLUMNS: Final = ("month", "team_id", "team", "rentals", "seconds", "charged", "refunded", "net")
OTHERS: Final = "others"
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for a formula at the beginning of a cell."""


def spend_text(spending: Spending, names: dict[str | None, str], *, by: Grouping, tag: str | None) -> str:
    """Return a report for people: a heading, a line for each group, dearest first, and the total."""
    heading = f'Tag "{tag}" Spending Report:' if tag else f"{by.capitalize()} Spending Report:"
    lines = [f"  {names[group.key]}: ${dollars(group.sums.net)}" for group in spending.groups]
    if hidden := spending.count - len(spending.groups):
        lines.append(f"  {hidden} {OTHERS}: ${dollars(spending.others.net)}")
    return "\n".join([heading, *lines, f"Total: ${dollars(spending.total.net)}", ""]).replace("$-", "-$")


def spend_csv(spending: Spending, names: dict[str | None, str]) -> str:
    """Return a report for spreadsheets: a column adds up to the ledger."""
    rows: list[tuple[object, ...]] = [
        (group.key or "", names[group.key], group.rentals, *_sums(group.sums)) for group in spending.groups
    ]
    if hidden := spending.count - len(spending.groups):
        rows.append(("", f"{hidden} {OTHERS}", "", *_sums(spending.others)))
    return _lines(SPEND_COLUMNS, rows)


def chargeback_csv(told: Chargeback) -> str:
    """Return a line for each team: a column adds up to the ledger's month."""
    return _lines(
        CHARGEBACK_COLUMNS,
        ((str(told.month), part.team_id or "", part.name, part.rentals, *_sums(part.sums)) for part in told.parts),
    )


def explained(told: Forecast) -> list[str]:
    """Return in sentences how a forecast came about."""
    pace, projection, outlook = told.pace, told.projection, told.outlook
    days, hours = divmod(outlook.left_seconds // 3600, 24)
    so_far = (
        f"Spent so far in {outlook.month}: ${dollars(pace.spent)}, and ${dollars(pace.accrued)} used by what runs and not "
        f"settled yet. {days} days and {hours} hours of the month are left."
    )
    burn = (
        f"What runs now costs ${dollars(pace.burn_per_hour)} an hour: if all of it ran on, the month would come to "
        f"${dollars(projection.if_all_runs_on)}."
    )
    sentences = [so_far, burn]
    if not outlook.trailing_days:
        return [
            *sentences,
            "There is no whole day yet to compare with, so the present burn counts for all of the month.",
        ]
    average = pace.trailing // outlook.trailing_days
    sentences.append(
        f"The last {outlook.trailing_days} whole days cost ${dollars(average)} a day on average: if every day to come did, "
        f"the month would come to ${dollars(projection.if_as_lately)}."
    )
    if outlook.left_seconds > DAY_SECONDS:
        sentences.append(
            f"Expected is ${dollars(projection.expected)}: what runs now for one more day, and average days after it."
        )
    else:
        sentences.append(f"Expected is ${dollars(projection.expected)}: what runs now, until the month ends.")
    return sentences


def _sums(sums: Sums) -> tuple[int, str, str, str]:
    return sums.seconds, dollars(sums.charged), dollars(sums.refunded), dollars(sums.net)


def _lines(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    written = io.StringIO(newline="")
    writer = csv.writer(written)
    writer.writerow(columns)
    name = columns.index("name" if "name" in columns else "team")
    key = name - 1
    writer.writerows([_plain(cell) if place in {key, name} else cell for place, cell in enumerate(row)] for row in rows)
    return written.getvalue()


def _plain(cell: object) -> object:
    """Return a name so that a spreadsheet shows it: people choose names, and a formula would be carried out."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
