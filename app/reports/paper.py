"""A chargeback on paper: A4, black on white, for a folder."""

from __future__ import annotations

import calendar
from datetime import timedelta
from typing import Final

from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.platypus import CondPageBreak, Flowable, Paragraph, Spacer, Table

from app.kit.money import dollars
from app.reports.charging_back import Chargeback, Part
from app.reports.spending import Sums
from app.statements.sheets import BOLD, FAINT, INK, PLAIN, WIDTH, Column, bound, day, duration, in_print, moment, table

TEAMS_MAX: Final = 500
"""A paper lists this many teams, those that spent most, and the sum of the others; CSV and JSON list all."""
FAMILIES_OF_TEAMS_MAX: Final = 50

_NAME_MAX = 48
_TEXT = ParagraphStyle("text", fontName=PLAIN, fontSize=7.5, leading=10, textColor=FAINT)
_HEADING = ParagraphStyle(
    "heading", fontName=BOLD, fontSize=11, leading=14, textColor=INK, spaceBefore=16, spaceAfter=5
)
_MONEY = (Column("Charged", 0.14), Column("Refunded", 0.14), Column("Net", 0.14))


def printed(told: Chargeback, *, account_id: str, account_name: str) -> bytes:
    """Return the paper as PDF. Takes a moment of pure computing: call it in a thread."""
    story = [
        _head(told),
        Spacer(0, 14),
        _parties(told, account_id, account_name),
        Spacer(0, 8),
        Paragraph(_note(told), _TEXT),
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


def _head(told: Chargeback) -> Flowable:
    month = f"{calendar.month_name[told.month.number]} {told.month.year}"
    return Table(
        [["Hourglass", "Chargeback by team"], ["GPUs by the second, prepaid", month]],
        colWidths=[WIDTH / 2] * 2,
        style=[
            ("FONT", (0, 0), (0, 0), BOLD, 20, 22),
            ("FONT", (1, 0), (1, 0), BOLD, 13, 22),
            ("FONT", (0, 1), (0, 1), PLAIN, 8.5, 12),
            ("FONT", (1, 1), (1, 1), PLAIN, 11, 12),
            ("TEXTCOLOR", (0, 0), (-1, -1), INK),
            ("TEXTCOLOR", (0, 1), (0, 1), FAINT),
            ("ALIGN", (1, 0), (1, -1), "RIGHT"),
            ("LEFTPADDING", (0, 0), (-1, -1), 0),
            ("RIGHTPADDING", (0, 0), (-1, -1), 0),
            ("LINEBELOW", (0, 1), (-1, 1), 0.8, INK),
            ("BOTTOMPADDING", (0, 1), (-1, 1), 8),
        ],
    )


def _parties(told: Chargeback, account_id: str, account_name: str) -> Flowable:
    month = told.month
    rows = [
        ["Account", "Period", f"{day(month.starts_at)} to {day(month.ends_at - timedelta(days=1))}, UTC"],
        [_short(account_name), "Status", "Final" if told.final else "Provisional"],
        [account_id, "As of", moment(told.as_of)],
        ["", "Currency", "US dollars"],
    ]
    return Table(
        rows,
        colWidths=[WIDTH * 0.5, WIDTH * 0.12, WIDTH * 0.38],
        style=[
            ("FONT", (0, 0), (-1, -1), PLAIN, 9, 12),
            ("FONT", (0, 1), (0, 1), BOLD, 9, 12),
            ("TEXTCOLOR", (0, 0), (-1, -1), INK),
            ("TEXTCOLOR", (0, 0), (0, 0), FAINT),
            ("TEXTCOLOR", (1, 0), (1, -1), FAINT),
            ("LEFTPADDING", (0, 0), (-1, -1), 0),
            ("TOPPADDING", (0, 0), (-1, -1), 1),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 1),
        ],
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
        return [Paragraph("Teams", _HEADING), Paragraph("Nothing was charged.", _TEXT)]
    columns = [Column("Team", 0.36, "LEFT"), Column("Rentals", 0.1, "RIGHT"), Column("Time", 0.12, "RIGHT"), *_MONEY]
    shown = told.parts[:TEAMS_MAX]
    rows = [[_short(part.name), str(part.rentals), *_sums(part.sums)] for part in shown]
    if others := told.parts[TEAMS_MAX:]:
        rest = sum((part.sums for part in others), start=Sums())
        rows.append([f"{len(others)} others, none of which spent more", "", *_sums(rest)])
    total = [f"{len(told.parts)} in all", "", *_sums(told.total)]
    return [Paragraph("Teams", _HEADING), table(columns, [*rows, total], has_total=True)]


def _families(told: Chargeback) -> list[Flowable]:
    shown: list[Flowable] = []
    for part in told.parts[:FAMILIES_OF_TEAMS_MAX]:
        shown += [CondPageBreak(30 * mm), Paragraph(_escaped(_short(part.name)), _HEADING), _families_of(part)]
    if len(told.parts) > FAMILIES_OF_TEAMS_MAX:
        shown.append(Paragraph("The JSON form tells the GPUs of the other teams too.", _TEXT))
    return shown


def _families_of(part: Part) -> Flowable:
    columns = [Column("GPU", 0.36, "LEFT"), Column("Rentals", 0.1, "RIGHT"), Column("Time", 0.12, "RIGHT"), *_MONEY]
    rows = [[in_print(one.key or "no GPU"), str(one.rentals), *_sums(one.sums)] for one in part.families]
    return table(columns, [*rows, ["", "", *_sums(part.sums)]], has_total=True)


def _sums(sums: Sums) -> list[str]:
    return [duration(sums.seconds), dollars(sums.charged), dollars(sums.refunded), dollars(sums.net)]


def _short(name: str) -> str:
    told = in_print(name)
    return told if len(told) <= _NAME_MAX else f"{told[:_NAME_MAX]}..."


def _escaped(text: str) -> str:
    """Return a text as a paragraph takes it: without markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
