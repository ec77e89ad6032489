"""Statements on paper: A4, black on white, for a folder. The same statement is the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from reportlab.lib.units import mm
from reportlab.platypus import CondPageBreak, Flowable, Paragraph, Spacer, Table

from app.kit.money import dollars
from app.statements.contents import PAYMENTS_MAX, Contents
from app.statements.paying import Paid
from app.statements.sheets import (
    BOLD,
    FAINT,
    HEADING,
    INK,
    PLAIN,
    SHADE,
    TEXT,
    WIDTH,
    Column,
    Linked,
    bound,
    day,
    duration,
    head,
    in_print,
    parties,
    point_under_point,
    shortened,
    signed,
    table,
)
from app.statements.summing import Statement, Used

_NAME_MAX, _ADDRESSES_MAX = 60, 3

_LABELS: Final = {
    "deposit": "Deposits",
    "auto_topup": "Auto-top-ups",
    "promo_grant": "Promotional credit",
    "reserve": "Set aside for new rentals",
    "reserve_renew": "Set aside for running rentals",
    "usage": "Usage",
    "release": "Given back from rentals",
    "host_fault_refund": "Refunds for failed hosts",
    "adjustment_credit": "Adjustments in your favour",
    "adjustment_debit": "Adjustments in ours",
    "refund_hold": "Set aside for refunds",
    "refund": "Refunds to your card",
    "refund_release": "Given back from refunds",
    "dispute_hold": "Set aside for disputes",
    "dispute_debit": "Disputed payments taken back",
    "dispute_release": "Given back from disputes",
    "dispute_reversal": "Disputed payments returned",
    "clawback": "Payments taken back",
    "debt_incurred": "Debt incurred",
    "debt_repaid": "Debt repaid",
    "inference_usage": "Inference",
    "promo_expiry": "Promotional credit expired",
}


def printed(contents: Contents) -> bytes:
    """Return the paper as PDF. Takes a moment of pure computing: call it in a thread."""
    statement = contents.statement
    month, final = statement.span.month, statement.final
    account = (
        shortened(contents.account_name, _NAME_MAX),
        statement.span.account_id,
        *map(in_print, contents.addresses[:_ADDRESSES_MAX]),
    )
    story = [
        head("Account statement", month),
        Spacer(0, 14),
        parties(account, month, final=final, as_of=statement.as_of),
        Spacer(0, 16),
        _summary(statement),
        *_notes(statement),
        *_movements(statement),
        *_payments(contents.payments),
        *_rentals(statement, contents.rentals),
    ]
    provisional = "" if final else " (provisional)"
    return bound(
        story,
        title=f"Hourglass statement {month}",
        subject=f"Account {statement.span.account_id}",
        foot=f"Hourglass statement {month} of {statement.span.account_id}{provisional}",
    )


def _summary(statement: Statement) -> Flowable:
    opening, closing = statement.opening, statement.closing
    rows = [
        ["Opening balance", dollars(opening.total)],
        ["Money in", dollars(statement.total_in)],
        ["Money out", dollars(-statement.total_out)],
        ["Closing balance", dollars(closing.total)],
        [f"of which {dollars(closing.available)} available and {dollars(closing.reserved)} set aside", ""],
    ]
    if opening.owed or closing.owed:
        rows.append(["Owed to Hourglass at the beginning", dollars(opening.owed)])
        rows.append(["Owed to Hourglass at the end", dollars(closing.owed)])
    return Table(
        rows,
        colWidths=[WIDTH * 0.74, WIDTH * 0.26],
        style=[
            ("FONT", (0, 0), (-1, -1), PLAIN, 10, 13),
            ("FONT", (0, 3), (-1, 3), BOLD, 11, 14),
            ("FONT", (0, 4), (0, 4), PLAIN, 8.5, 11),
            ("TEXTCOLOR", (0, 0), (-1, -1), INK),
            ("TEXTCOLOR", (0, 4), (0, 4), FAINT),
            ("BACKGROUND", (0, 0), (-1, -1), SHADE),
            ("LINEABOVE", (0, 3), (-1, 3), 0.6, INK),
            ("ALIGN", (1, 0), (1, -1), "RIGHT"),
            *point_under_point(1, [row[1] for row in rows], room=50, size=10),
            ("LEFTPADDING", (0, 0), (0, -1), 10),
            ("TOPPADDING", (0, 0), (-1, 0), 8),
            ("BOTTOMPADDING", (0, -1), (-1, -1), 8),
        ],
    )


def _notes(statement: Statement) -> list[Flowable]:
    month = statement.span.month
    told = (
        "Amounts are US dollars, exact to the millionth; times are UTC. A movement belongs to the month in which it took "
        "effect. What is set aside for running rentals is part of the balance until it is used. Every single movement: "
        f"GET /v1/billing/ledger?from={month.starts_at:%Y-%m-%dT%H:%M:%SZ}&amp;to={month.ends_at:%Y-%m-%dT%H:%M:%SZ}"
    )
    if not statement.final:
        told = "This statement is provisional: the month is not over, or not settled to its end. " + told
    return [Spacer(0, 8), Paragraph(told, TEXT)]


def _movements(statement: Statement) -> list[Flowable]:
    owing = any(line.change.owed for line in statement.lines)
    columns = [
        Column("", 0.4, "LEFT"),
        Column("Number", 0.12, "RIGHT"),
        Column("Amount", 0.16),
        Column("Balance", 0.16),
    ]
    rows = [
        [
            _LABELS.get(line.kind, line.kind.replace("_", " ").capitalize()),
            str(line.count),
            dollars(line.amount),
            signed(line.change.total),
            signed(line.change.owed) if owing else "",
        ]
        for line in statement.lines
    ]
    if not rows:
        return _section("Movements", Paragraph("No money moved.", TEXT))
    return _section("Movements", table([*columns, Column("Owed" if owing else "", 0.16)], rows))


def _payments(payments: Sequence[Paid]) -> list[Flowable]:
    if not payments:
        return []
    columns = [
        Column("Date", 0.15, "LEFT"),
        Column("Payment", 0.36, "LEFT"),
        Column("Card", 0.17, "LEFT"),
        *(Column(title, share, decimals=16) for title, share in (("Paid", 0.12), ("Tax", 0.09), ("Credited", 0.11))),
    ]
    rows = [
        [
            day(paid.at),
            _link(paid),
            paid.card,
            "" if paid.charged is None else dollars(paid.charged),
            "" if paid.tax is None else dollars(paid.tax),
            dollars(paid.credited),
        ]
        for paid in payments[:PAYMENTS_MAX]
    ]
    shown: list[Flowable] = [table(columns, rows)]
    if len(payments) > PAYMENTS_MAX:
        shown.append(Paragraph("There are more payments; the CSV and JSON forms list all of them.", TEXT))
    return _section("Payments", *shown)


def _rentals(statement: Statement, rentals: Sequence[Used]) -> list[Flowable]:
    usage = statement.usage
    if not usage.rentals:
        return []
    columns = [
        Column("Rental", 0.36, "LEFT"),
        Column("Time", 0.12, "RIGHT"),
        Column("Per hour", 0.13),
        *(Column(title, 0.13) for title in ("Charged", "Refunded", "Net")),
    ]
    rows = [
        [
            used.rental_id,
            duration(used.seconds),
            "" if used.rate is None else dollars(used.rate),
            *map(dollars, (used.charged, used.refunded, used.net)),
        ]
        for used in rentals
    ]
    if others := usage.rentals - len(rentals):
        seconds = usage.seconds - sum(used.seconds for used in rentals)
        charged = usage.charged - sum(used.charged for used in rentals)
        refunded = usage.refunded - sum(used.refunded for used in rentals)
        sums = map(dollars, (charged, refunded, charged - refunded))
        rows.append([f"{others} others, none of which cost more", duration(seconds), "", *sums])
    total = [f"{usage.rentals} in all", duration(usage.seconds), ""]
    total += map(dollars, (usage.charged, usage.refunded, usage.net))
    return _section("Usage by rental", table(columns, [*rows, total], has_total=True))


def _section(title: str, *flowables: Flowable) -> list[Flowable]:
    """Return a section that does not leave its heading alone at the foot of a page."""
    return [CondPageBreak(30 * mm), Paragraph(title, HEADING), *flowables]


def _link(paid: Paid) -> Any:  # noqa: ANN401 - a cell is a text or something that draws itself
    if not (paid.receipt_url or "").startswith(("https://", "http://")):
        return paid.payment_id
    return Linked(paid.payment_id, str(paid.receipt_url))
