"""Statements as text, JSON and CSV, in parts: the head, then as many payments and rentals as there are."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

from app.kit.clock import rfc3339
from app.kit.money import dollars
from app.statements.paying import Paid
from app.statements.schemas import StatementHead
from app.statements.summing import Balances, Statement, Used

CSV_COLUMNS = (
    "section",
    "name",
    "at",
    "count",
    "seconds",
    "rate_per_hour",
    "amount",
    "refunded",
    "net",
    "available",
    "reserved",
    "total",
    "owed",
    "tax",
    "card",
    "receipt_url",
)
_Row = dict[str, Any]


def json_head(statement: Statement, *, account_name: str) -> str:
    """Return the JSON object up to where its payments begin."""
    head = StatementHead.of(statement, account_name=account_name).model_dump_json()
    return f'{head[:-1]},"payments":['


JSON_BETWEEN, JSON_END = '],"rentals":[', "]}"


def json_of_payment(paid: Paid) -> str:
    """Return a payment as a JSON object in the form of ``schemas.PaymentMade``."""
    return (
        f'{{"payment_id":{quoted(paid.payment_id)},"at":"{rfc3339(paid.at)}","credited":"{dollars(paid.credited)}",'
        f'"charged":{_money(paid.charged)},"tax":{_money(paid.tax)},"brand":{_text(paid.brand)},'
        f'"last4":{_text(paid.last4)},"receipt_url":{_text(paid.receipt_url)}}}'
    )


def json_of_rental(used: Used) -> str:
    """Return a rental's usage as a JSON object in the form of ``schemas.RentalUsed``."""
    return (
        f'{{"rental_id":{quoted(used.rental_id)},"seconds":{used.seconds},"rate_per_hour":{_money(used.rate)},'
        f'"charged":"{dollars(used.charged)}","refunded":"{dollars(used.refunded)}","net":"{dollars(used.net)}"}}'
    )


def csv_head(statement: Statement) -> str:
    """Return the column names and what is told once."""
    month, usage = statement.span.month, statement.usage
    rows: list[_Row] = [
        {"section": "account", "name": statement.span.account_id},
        {"section": "month", "name": month, "at": rfc3339(month.starts_at)},
        {
            "section": "status",
            "name": "final" if statement.final else "provisional",
            "at": rfc3339(statement.as_of),
        },
        {"section": "opening", "at": rfc3339(month.starts_at), **_balances(statement.opening)},
        *(
            {
                "section": "movements",
                "name": line.kind,
                "count": line.count,
                "amount": dollars(line.amount),
                **_balances(line.change),
            }
            for line in statement.lines
        ),
        {"section": "total_in", "amount": dollars(statement.total_in)},
        {"section": "total_out", "amount": dollars(statement.total_out)},
        {"section": "closing", "at": rfc3339(statement.as_of), **_balances(statement.closing)},
        {
            "section": "usage",
            "count": usage.rentals,
            "seconds": usage.seconds,
            "amount": dollars(usage.charged),
            "refunded": dollars(usage.refunded),
            "net": dollars(usage.net),
        },
    ]
    return ",".join(CSV_COLUMNS) + "\r\n" + _lines(rows)


def csv_of_payments(payments: Sequence[Paid]) -> str:
    """Return payments as CSV lines; ``amount`` is what the card paid, ``net`` what came into the wallet."""
    return _lines(
        {
            "section": "payment",
            "name": paid.payment_id,
            "at": rfc3339(paid.at),
            "amount": None if paid.charged is None else dollars(paid.charged),
            "net": dollars(paid.credited),
            "tax": None if paid.tax is None else dollars(paid.tax),
            "card": paid.card,
            "receipt_url": paid.receipt_url,
        }
        for paid in payments
    )


def csv_of_rentals(rentals: Sequence[Used]) -> str:
    """Return rentals' usage as CSV lines."""
    return _lines(
        {
            "section": "rental",
            "name": used.rental_id,
            "seconds": used.seconds,
            "rate_per_hour": None if used.rate is None else dollars(used.rate),
            "amount": dollars(used.charged),
            "refunded": dollars(used.refunded),
            "net": dollars(used.net),
        }
        for used in rentals
    )


def _lines(rows: Iterable[_Row]) -> str:
    written = io.StringIO(newline="")
    csv.DictWriter(written, CSV_COLUMNS).writerows(rows)
    return written.getvalue()


def _balances(balances: Balances) -> _Row:
    return {
        "available": dollars(balances.available),
        "reserved": dollars(balances.reserved),
        "total": dollars(balances.total),
        "owed": dollars(balances.owed),
    }


def _money(micros: int | None) -> str:
    return "null" if micros is None else f'"{dollars(micros)}"'


def _text(value: str | None) -> str:
    return "null" if value is None else quoted(value)
