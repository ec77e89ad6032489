"""How a statement reads in each of its forms, and what the ledger says it must read."""

from __future__ import annotations

import csv
import io
from collections import defaultdict

from pypdf import PdfReader

from app.kit.clock import rfc3339
from app.kit.db import driver
from app.kit.money import dollars
from app.ledger.kinds import Bucket, deltas
from app.statements.rendering import CSV_COLUMNS

URL = "/v1/billing/statements"
NUMBERS = ("available", "reserved", "total", "owed")


async def rows_of(db, account):
    async with db.begin_unscoped() as session:
        return await driver(session).fetch("SELECT * FROM transfers WHERE account_id = $1 ORDER BY seq", account)


def balances(available=0, reserved=0, owed=0):
    sums = (available, reserved, available + reserved, owed)
    return dict(zip(NUMBERS, map(dollars, sums), strict=True))


def expected(rows, month):
    """Add a month up one row at a time: an oracle that shares nothing with the SQL."""
    opening, closing = [0, 0, 0], [0, 0, 0]
    kinds = defaultdict(lambda: [0, 0, 0, 0, 0])
    rentals = defaultdict(lambda: [0, None, 0, 0])
    payments = {}
    for row in rows:
        of = rfc3339(row["effective_at"])[:7]
        change = deltas(Bucket(row["debit"]), Bucket(row["credit"]), row["amount"])
        if of < month:
            opening = [a + b for a, b in zip(opening, change, strict=True)]
        if of <= month:
            closing = [a + b for a, b in zip(closing, change, strict=True)]
        if of != month:
            continue
        line = kinds[row["kind"]]
        line[0] += 1
        line[1] += row["amount"]
        line[2:] = [a + b for a, b in zip(line[2:], change, strict=True)]
        if row["rental_id"] and "spend" in (row["debit"], row["credit"]):
            used = rentals[row["rental_id"]]
            used[0] += (row["to_s"] or 0) - (row["from_s"] or 0)
            used[1] = row["rate"] or used[1]
            used[2 if row["credit"] == "spend" else 3] += row["amount"]
        if row["debit"] == "funding" and (row["reference"] or "").startswith("pay_"):
            payments[row["reference"]] = payments.get(row["reference"], 0) + row["amount"]
    return {
        "opening": balances(*opening),
        "closing": balances(*closing),
        "movements": {
            kind: {"kind": kind, "count": count, "amount": dollars(amount), "change": balances(*change)}
            for kind, (count, amount, *change) in kinds.items()
        },
        "rentals": [
            {
                "rental_id": rental_id,
                "seconds": seconds,
                "rate_per_hour": None if rate is None else dollars(rate),
                "charged": dollars(charged),
                "refunded": dollars(refunded),
                "net": dollars(charged - refunded),
            }
            for rental_id, (seconds, rate, charged, refunded) in sorted(rentals.items())
        ],
        "payments": {payment: dollars(amount) for payment, amount in payments.items()},
    }


def read_csv(text):
    """Return the CSV's rows by section, without empty cells."""
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert not rows or tuple(rows[0]) == CSV_COLUMNS
    sections = defaultdict(list)
    for row in rows:
        sections[row.pop("section")].append({name: cell for name, cell in row.items() if cell})
    return dict(sections)


def as_csv(told):
    """Return what the CSV must say, by what the JSON says."""
    sections = {
        "account": [{"name": told["account_id"]}],
        "month": [{"name": told["month"], "at": told["starts_at"]}],
        "status": [{"name": "final" if told["final"] else "provisional", "at": told["as_of"]}],
        "opening": [{"at": told["starts_at"], **told["opening"]}],
        "movements": [
            {"name": line["kind"], "count": str(line["count"]), "amount": line["amount"], **line["change"]}
            for line in told["movements"]
        ],
        "total_in": [{"amount": told["total_in"]}],
        "total_out": [{"amount": told["total_out"]}],
        "closing": [{"at": told["as_of"], **told["closing"]}],
        "usage": [
            {
                "count": str(told["usage"]["rentals"]),
                "seconds": str(told["usage"]["seconds"]),
                "amount": told["usage"]["charged"],
                "refunded": told["usage"]["refunded"],
                "net": told["usage"]["net"],
            }
        ],
        "payment": [
            {
                "name": paid["payment_id"],
                "at": paid["at"],
                "amount": paid["charged"],
                "net": paid["credited"],
                "tax": paid["tax"],
                "card": f"{(paid['brand'] or 'card').capitalize()} {paid['last4']}" if paid["last4"] else None,
                "receipt_url": paid["receipt_url"],
            }
            for paid in told["payments"]
        ],
        "rental": [
            {
                "name": used["rental_id"],
                "seconds": str(used["seconds"]),
                "rate_per_hour": used["rate_per_hour"],
                "amount": used["charged"],
                "refunded": used["refunded"],
                "net": used["net"],
            }
            for used in told["rentals"]
        ],
    }
    return {
        section: [{name: cell for name, cell in row.items() if cell is not None} for row in rows]
        for section, rows in sections.items()
        if rows
    }


def read_pdf(content):
    """Return the words of a PDF and the number of its pages."""
    reader = PdfReader(io.BytesIO(content))
    return " ".join(page.extract_text() for page in reader.pages).split(), len(reader.pages)


def numbers_of(told):
    """Return every amount that the paper must show, by what the JSON says."""

    def signed(amount):
        return amount if amount.startswith("-") or float(amount) == 0 else f"+{amount}"

    out = told["total_out"]
    shown = [told["opening"]["total"], told["total_in"], out if float(out) == 0 else f"-{out}"]
    shown += [told["closing"][name] for name in ("available", "reserved", "total")]
    for line in told["movements"]:
        shown += [line["amount"], signed(line["change"]["total"])]
    for used in told["rentals"]:
        shown += [used["charged"], used["refunded"], used["net"]]
    shown += [paid["credited"] for paid in told["payments"]]
    if told["usage"]["rentals"]:
        shown += [told["usage"][name] for name in ("charged", "refunded", "net")]
    return shown
