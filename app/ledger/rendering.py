"""Transfers as text: JSON and CSV from the same columns, with little work per row."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

import asyncpg

from app.kit.clock import rfc3339
from app.kit.money import dollars

CSV_COLUMNS = (
    "id",
    "seq",
    "kind",
    "debit",
    "credit",
    "amount",
    "available_after",
    "reserved_after",
    "owed_after",
    "effective_at",
    "created_at",
    "rental_id",
    "actor",
    "description",
    "rate_per_hour",
    "from_second",
    "to_second",
    "reference",
    "base_second",
)
_REFS = {
    "pay": "payment_id",
    "rfd": "refund_id",
    "dsp": "dispute_id",
    "tup": "topup_id",
    "lot": "lot_id",
}
_NO_OTHERS = ",".join(f'"{name}":null' for name in _REFS.values())
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def json_of(row: asyncpg.Record) -> str:
    """Return a transfer as a JSON object in the form of ``schemas.Transfer``."""
    (
        transfer_id,
        seq,
        kind,
        debit,
        credit,
        amount,
        available,
        reserved,
        owed,
        effective,
        created,
        rental,
        actor,
        said,
        rate,
        from_s,
        to_s,
        reference,
        base_s,
    ) = row
    rental_text, reference_text = _text(rental), _text(reference)
    return (
        f'{{"id":"{transfer_id}","object":"transfer","seq":{seq},"kind":"{kind}","debit":"{debit}","credit":"{credit}",'
        f'"amount":"{dollars(amount)}","available_after":"{dollars(available)}","reserved_after":"{dollars(reserved)}",'
        f'"owed_after":"{dollars(owed)}","effective_at":"{rfc3339(effective)}","created_at":"{rfc3339(created)}",'
        f'"rental_id":{rental_text},"actor":{quoted(actor)},"description":{quoted(said)},'
        f'"usage":{_usage(rate, from_s, to_s, base_s)},"reference":{reference_text},'
        f'"refs":{_refs(rental_text, reference, reference_text)}}}'
    )


def csv_of(rows: Iterable[asyncpg.Record]) -> str:
    """Return transfers as CSV lines by RFC 4180. A text that a spreadsheet would take for a formula gets an apostrophe."""
    written = io.StringIO(newline="")
    csv.writer(written).writerows(map(_cells, rows))
    return written.getvalue()


def csv_head() -> str:
    """Return the line of column names."""
    return ",".join(CSV_COLUMNS) + "\r\n"


def harmless(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _text(value: str | None) -> str:
    return quoted(value) if value else "null"


def _refs(rental_text: str, reference: str | None, reference_text: str) -> str:
    others = _NO_OTHERS
    if reference and (named := _REFS.get(reference.partition("_")[0])):
        others = others.replace(f'"{named}":null', f'"{named}":{reference_text}')
    return f'{{"rental_id":{rental_text},{others}}}'


def _usage(rate: int | None, from_s: int | None, to_s: int | None, base_s: int | None) -> str:
    if rate is None:
        return "null"
    seconds = f'"from_second":{from_s},"to_second":{to_s},"base_second":{base_s or 0}'
    return f'{{"rate_per_hour":"{dollars(rate)}",{seconds}}}'


def _cells(row: asyncpg.Record) -> Sequence[Any]:
    rate = row["rate"]
    return (
        *row[:5],
        *map(dollars, row[5:9]),
        rfc3339(row["effective_at"]),
        rfc3339(row["created_at"]),
        row["rental_id"],
        harmless(row["actor"]),
        harmless(row["description"]),
        rate and dollars(rate),
        *row[15:17],
        harmless(row["reference"] or ""),
        None if rate is None else row["base_s"] or 0,
    )
