"""A price sheet: what a cloud without a price API charges, written down by an operator, with the day it is from.

TOML. ``docs/price-sheets.md`` describes it for operators; here is how each line is read::

    as_of = 2026-11-01          # a date or a moment: since when these prices stand
    max_age_days = 30           # older than that, nothing is offered from it

    [[offers]]
    id = "h100x8"               # what the desk calls it
    gpu = "NVIDIA H100 80GB HBM3"
    gpu_count = 8
    vram_gib = 80
    price_per_hour = "19.20"    # dollars for the whole machine, as a text
    region = "berlin-1"
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from app.kit.money import Money
from app.providers.contract import Offer
from app.providers.reading import Malformed, maybe, name, whole

SHEET_BYTES_MAX = 1024 * 1024
OFFERS_MAX = 5000
_MAX_AGE_DAYS = 30
_MAX_AGE_DAYS_MOST = 366
_MIB_PER_GIB = 1024
_PPM = 1_000_000
_OFFER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_COUNTRY = re.compile(r"[A-Z]{2}", re.ASCII)
_INTERCONNECTS: Final = ("sxm", "pcie", "nvl")
_TIERS: Final = ("community", "datacenter", "secure")
_SHEET_KEYS: Final = frozenset({"as_of", "max_age_days", "offers"})
_OFFER_KEYS: Final = frozenset({
    "id", "gpu", "gpu_count", "vram_gib", "price_per_hour", "disk_per_gb_month", "region", "region_name", "country",
    "cpu_cores", "ram_gib", "disk_gb_max", "inet_up_mbps", "inet_down_mbps", "interconnect", "cuda_max", "reliability",
    "security_tier", "static_ip", "architecture", "min_commitment_seconds", "egress_per_gb",
})  # fmt: skip


class SheetError(ValueError):
    """A price sheet can't be used; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A price sheet that has been read."""

    as_of: datetime
    max_age: timedelta
    offers: tuple[Offer, ...]

    def is_stale(self, at: datetime) -> bool:
        """Return whether its prices are too old to be promised to anybody, or not yet in force."""
        return not self.as_of <= at <= self.as_of + self.max_age


def parse_sheet(text: str) -> Sheet:
    """Read a price sheet.

    Raises:
        SheetError: naming the offer and the field that is wrong.
    """
    try:
        sheet = tomllib.loads(text, parse_float=Decimal)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SheetError(f"the price sheet is no TOML: {error}") from None
    _refuse_unknown(sheet, _SHEET_KEYS, "the price sheet")
    as_of = _moment(sheet.get("as_of"))
    listed = sheet.get("offers", [])
    if not isinstance(listed, list) or len(listed) > OFFERS_MAX:
        raise SheetError(f"offers must be at most {OFFERS_MAX} tables, each beginning with [[offers]]")
    days = _read(sheet, "max_age_days", lambda value: whole(value, low=1, high=_MAX_AGE_DAYS_MOST), "the sheet's")
    max_age = timedelta(days=days or _MAX_AGE_DAYS)
    offers = tuple(
        _offer(row, number, as_of=as_of, until=as_of + max_age) for number, row in enumerate(listed, start=1)
    )
    twice = {offer.offer_id for offer in offers if sum(one.offer_id == offer.offer_id for one in offers) > 1}
    if twice:
        raise SheetError(f"offer {min(twice)} stands twice")
    return Sheet(as_of, max_age, offers)


def _offer(row: object, number: int, *, as_of: datetime, until: datetime) -> Offer:
    where = f"offer {number}:"
    if not isinstance(row, dict):
        raise SheetError(f"{where} must be a table beginning with [[offers]]")
    _refuse_unknown(row, _OFFER_KEYS, where)
    region_id = _must(row, "region", name, where)
    ram_gib = _read(row, "ram_gib", whole, where)
    return Offer(
        provider="manual",
        offer_id=_offer_id(row, where),
        gpu_name=_must(row, "gpu", name, where),
        gpu_count=_must(row, "gpu_count", lambda value: whole(value, low=1, high=64), where),
        vram_mib=_must(row, "vram_gib", lambda value: whole(value, low=1, high=4096), where) * _MIB_PER_GIB,
        price_micros_per_hour=_must(row, "price_per_hour", _price, where),
        disk_micros_per_gb_month=_read(row, "disk_per_gb_month", _dollars, where) or 0,
        spot=False,
        region_id=region_id,
        region_name=_read(row, "region_name", name, where) or region_id,
        country=_country(row, where),
        cpu_cores=_read(row, "cpu_cores", whole, where),
        ram_mib=None if ram_gib is None else ram_gib * _MIB_PER_GIB,
        disk_gb_max=_read(row, "disk_gb_max", whole, where),
        inet_up_mbps=_read(row, "inet_up_mbps", whole, where),
        inet_down_mbps=_read(row, "inet_down_mbps", whole, where),
        egress_micros_per_gb=_read(row, "egress_per_gb", _dollars, where),
        min_commitment_seconds=_read(row, "min_commitment_seconds", whole, where) or 0,
        interconnect=_one_of(row, "interconnect", _INTERCONNECTS, where),
        cuda_max=_read(row, "cuda_max", name, where),
        reliability_ppm=_read(row, "reliability", _share, where),
        security_tier=_one_of(row, "security_tier", _TIERS, where) or "datacenter",
        static_ip=row.get("static_ip") is True,
        architecture=_read(row, "architecture", name, where) or "x86_64",
        priced_at=as_of,
        priced_until=until,
    )


def _offer_id(row: dict[str, Any], where: str) -> str:
    offer_id: str = _must(row, "id", name, where)
    if not _OFFER_ID.fullmatch(offer_id):
        raise SheetError(f"{where} id must be letters, digits, dots, dashes and underscores")
    return offer_id


def _country(row: dict[str, Any], where: str) -> str | None:
    country: str | None = _read(row, "country", name, where)
    if country is not None and not _COUNTRY.fullmatch(country):
        raise SheetError(f"{where} country must be two capital letters such as DE")
    return country


def _moment(value: object) -> datetime:
    if isinstance(value, datetime):
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    raise SheetError("as_of must be a date such as 2026-11-01: since when these prices stand")


def _refuse_unknown(table: dict[str, Any], known: frozenset[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise SheetError(f"{where} {key} is no field of a price sheet; known are {', '.join(sorted(known))}")


def _must(row: dict[str, Any], key: str, read: Any, where: str) -> Any:  # noqa: ANN401 - whatever the reader reads
    if key not in row:
        raise SheetError(f"{where} {key} is missing")
    return _read(row, key, read, where)


def _read(row: dict[str, Any], key: str, read: Any, where: str) -> Any:  # noqa: ANN401 - whatever the reader reads
    if key not in row:
        return None
    try:
        return read(row[key])
    except ValueError as error:
        raise SheetError(f"{where} {key}: {error}") from None


def _one_of(row: dict[str, Any], key: str, words: tuple[str, ...], where: str) -> str | None:
    word = maybe(name, row.get(key))
    if key in row and word not in words:
        raise SheetError(f"{where} {key} must be one of {', '.join(words)}")
    return word


def _dollars(value: object) -> int:
    if not isinstance(value, str):
        raise Malformed('dollars are written as a text, for example "19.20"')
    micros = Money.parse(value).micros
    if micros < 0:
        raise Malformed("no price is below zero")
    return micros


def _price(value: object) -> int:
    if not (micros := _dollars(value)):
        raise Malformed("nothing is for nothing")
    return micros


def _share(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not 0 <= value <= 1:
        raise Malformed("a share from 0 to 1 was expected")
    return int(value * _PPM)
