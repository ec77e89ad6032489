"""A chargeback on paper: A4, black on white, for a folder."""

from __future__ import annotations

from typing import Final

from reportlab.lib.units import mm
from reportlab.platypus import CondPageBreak, Flowable, Paragraph, Spacer

from app.kit.money import dollars
from app.reports.charging_back import Chargeback, Part
from app.reports.spending import Sums
from app.statements.sheets import (
    HEADING,
    TEXT,
    Column,
    bound,
    duration,
    head,
    in_print,
    parties,
    shortened,
    table,
)

TEAMS_MAX: Final = 500
"""A paper lists this many teams, those that spent most, and the sum of the others; CSV and JSON list all."""
FAMILIES_OF_TEAMS_MAX: Final = 50

_NAME_MAX = 48
_MONEY = (Column("Charged", 0.14), Column("Refunded", 0.14), Column("Net", 0.14))


def printed(told: Chargeback, *, account_id: str, account_name: str) -> bytes:
    """Return the paper as PDF. Takes a moment of pure computing: call it in a thread."""
    story = [
        head("Chargeback by team", told.month),
        Spacer(0, 14),
        parties((shortened(account_name, _NAME_MAX), account_id), told.month, final=told.final, as_of=told.as_of),
        Spacer(0, 8),
        Paragraph(_note(told), TEXT),
        *_teams(told),
        *_families(told),
    ]
    provisional = "" if told.final else " (provisional)"
    return bound(
        story,
        title=f"Hourglass chargeback {told.month}",
        subject=f"Account {account_id}",
        foot=f"Hourglass chargeback {told.month} of {account_id}{provisional}",
    )


def _note(told: Chargeback) -> str:
    provisional = "This chargeback is provisional: the month is not over, or not settled to its end. "
    partial = "This chargeback is of what its reader sees, not of the whole account. "
    note = (
        "Amounts are US dollars, exact to the millionth, and add up to the account's ledger; times are UTC. A charge "
        "belongs to the team whose rental it is for, and to the month in which it took effect."
    )
    return ("" if told.final else provisional) + ("" if told.is_whole else partial) + note


def _teams(told: Chargeback) -> list[Flowable]:
    if not told.parts:
        return [Paragraph("Teams", HEADING), Paragraph("Nothing was charged.", TEXT)]
    columns = [Column("Team", 0.36, "LEFT"), Column("Rentals", 0.1, "RIGHT"), Column("Time", 0.12, "RIGHT"), *_MONEY]
    shown = told.parts[:TEAMS_MAX]
    rows = [[shortened(part.name, _NAME_MAX), str(part.rentals), *_sums(part.sums)] for part in shown]
    if others := told.parts[TEAMS_MAX:]:
        rest = sum((part.sums for part in others), start=Sums())
        rows.append([f"{len(others)} others, none of which spent more", "", *_sums(rest)])
    total = [f"{len(told.parts)} in all", "", *_sums(told.total)]
    return [Paragraph("Teams", HEADING), table(columns, [*rows, total], has_total=True)]


def _families(told: Chargeback) -> list[Flowable]:
    shown: list[Flowable] = []
    for part in told.parts[:FAMILIES_OF_TEAMS_MAX]:
        shown += [
            CondPageBreak(30 * mm),
            Paragraph(_escaped(shortened(part.name, _NAME_MAX)), HEADING),
            _families_of(part),
        ]
    if len(told.parts) > FAMILIES_OF_TEAMS_MAX:
        shown.append(Paragraph("The JSON form tells the GPUs of the other teams too.", TEXT))
    return shown


def _families_of(part: Part) -> Flowable:
    columns = [Column("GPU", 0.36, "LEFT"), Column("Rentals", 0.1, "RIGHT"), Column("Time", 0.12, "RIGHT"), *_MONEY]
    rows = [[in_print(one.key or "no GPU"), str(one.rentals), *_sums(one.sums)] for one in part.families]
    return table(columns, [*rows, ["", "", *_sums(part.sums)]], has_total=True)


def _sums(sums: Sums) -> list[str]:
    return [duration(sums.seconds), dollars(sums.charged), dollars(sums.refunded), dollars(sums.net)]


def _escaped(text: str) -> str:
    """Return a text as a paragraph takes it: without markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
