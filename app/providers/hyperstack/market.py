"""Joining flavors, prices and stocks into offers.

A flavor tells what a machine has, the price book what one GPU of its kind costs, the stocks how many machines of each
size are left. Spot is a kind of GPU of its own, ``A100-80G-PCIe-spot``, with its own price and flavors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from types import MappingProxyType

from app.kit.money import from_price
from app.providers.contract import Offer
from app.providers.reading import PRICE_MAX_DOLLARS, Malformed, items, mapping, maybe, name, number, whole

SEPARATOR = ":"
"""Between flavor and region in an offer's id; neither has it."""

STORAGE_ROW, ADDRESS_ROW = "Cloud-SSD", "Public-IP"
_STORAGE_DOLLARS = Decimal("0.000096774")
"""Per GB and hour, where the price book has no row for it."""
_ADDRESS_DOLLARS = Decimal("0.00672")
"""Per hour, likewise."""

_SPOT = "-spot"
_FLAVOR = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,98}", re.ASCII)
_REGION = re.compile(r"[A-Z0-9][A-Z0-9-]{0,62}", re.ASCII)
_PRICE_TEXT = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,18})?", re.ASCII)
_VRAM = re.compile(r"(?:^|-)([0-9]{1,4})G(?:B)?(?:-|$)", re.ASCII)
_NOT_PLAIN = re.compile(r"[^a-z0-9]+")
_ADDRESS_WORDS = frozenset({"publicip", "floatingip"})
_MIB_PER_GIB = 1024

_VRAM_GB: Mapping[str, int] = MappingProxyType(
    {
        "rtxa4000": 16,
        "rtxa5000": 24,
        "rtxa6000": 48,
        "rtxa6000ada": 48,
        "rtx4090": 24,
        "rtx5090": 32,
        "rtxpro6000se": 96,
        "a40": 48,
        "l4": 24,
        "l40": 48,
        "l40s": 48,
        "h100": 80,
        "h200": 141,
        "h200sxm": 141,
        "b200": 180,
        "b200sxm": 180,
        "b300": 288,
        "b300sxm": 288,
    }
)
"""Of those whose name does not tell it; a kind that is in neither is left out."""

_COUNTRIES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"CANADA": ("CA", "Canada"), "NORWAY": ("NO", "Norway"), "US": ("US", "United States")}
)
"""How a region's name begins → its country."""


@dataclass(frozen=True, slots=True)
class Prices:
    """The price book: dollars by row, as they are after any discount of ours."""

    rows: Mapping[str, Decimal]

    def storage(self) -> Decimal:
        """Return what a GB costs for an hour."""
        return self.rows.get(STORAGE_ROW, _STORAGE_DOLLARS)

    def address(self) -> Decimal:
        """Return what a public address costs for an hour."""
        found = (price for row, price in self.rows.items() if _plain(row) in _ADDRESS_WORDS)
        return next(found, _ADDRESS_DOLLARS)


Stocks = Mapping[tuple[str, str], Mapping[int, int]]
"""Region and GPU → GPUs in a machine → how many such machines are left."""


def parse_prices(rows: list[object]) -> Prices:
    """Read the price book. Rows that can't be read are left out: a flavor without a price is then left out too.

    Raises:
        Malformed: not one of them could be read.
    """
    found: dict[str, Decimal] = {}
    for value in rows:
        row = maybe(mapping, value) or {}
        title, price = maybe(name, row.get("name")), maybe(_dollars, row.get("value"))
        if title is not None and price is not None:
            found[title] = price
    if rows and not found:
        raise Malformed("no price can be read")
    return Prices(found)


def parse_stocks(rows: list[object]) -> Stocks:
    """Read the stocks. They only make offers fewer, so what can't be read is no matter."""
    found: dict[tuple[str, str], Mapping[int, int]] = {}
    for value in rows:
        stock = maybe(mapping, value) or {}
        region = maybe(name, stock.get("region"))
        for entry in maybe(items, stock.get("models")) or []:
            model = maybe(mapping, entry) or {}
            title, sizes = maybe(name, model.get("model")), maybe(mapping, model.get("configurations"))
            if region and title and sizes is not None:
                found[region, title] = _sizes(sizes)
    return found


def flavors_of(groups: list[object]) -> list[object]:
    """Return the flavors of all groups; a group that can't be read counts as one flavor that can't either."""
    found: list[object] = []
    for group in groups:
        listed = maybe(items, (maybe(mapping, group) or {}).get("flavors"))
        found += [None] if listed is None else listed
    return found


def parse_offer(value: object, prices: Prices, stocks: Stocks) -> Offer | None:
    """Return an offer, None for a flavor without GPUs, out of stock or without a price.

    Raises:
        Malformed: something that we need is missing or makes no sense.
    """
    flavor = mapping(value)
    gpu_count = whole(flavor.get("gpu_count"), high=1024)
    if gpu_count == 0 or flavor.get("stock_available") is not True:
        return None
    gpu, flavor_name, region = name(flavor.get("gpu")), name(flavor.get("name")), name(flavor.get("region_name"))
    if not _FLAVOR.fullmatch(flavor_name) or not _REGION.fullmatch(region):
        raise Malformed("a flavor's or a region's name has another form")
    per_gpu = prices.rows.get(gpu)
    if stocks.get((region, gpu), {}).get(gpu_count, 1) == 0 or not per_gpu:
        return None
    kind, disk = gpu.removesuffix(_SPOT), whole(flavor.get("disk"), high=10**6)
    country, region_title = _COUNTRIES.get(region.rsplit("-", 1)[0], (None, region))
    return Offer(
        provider="hyperstack",
        offer_id=f"{flavor_name}{SEPARATOR}{region}",
        gpu_name=kind,
        gpu_count=gpu_count,
        vram_mib=_vram_mib(kind),
        price_micros_per_hour=from_price(per_gpu * gpu_count + prices.address()),
        disk_micros_per_gb_month=0,
        spot=gpu.endswith(_SPOT),
        region_id=region,
        region_name=region_title,
        country=country,
        cpu_cores=maybe(whole, flavor.get("cpu")),
        ram_mib=maybe(_ram_mib, flavor.get("ram")),
        disk_gb_max=disk,
        egress_micros_per_gb=0,
        stopped_micros_per_hour=from_price(prices.storage() * disk) if _hibernates(flavor) else None,
        interconnect=_interconnect(kind),
        security_tier="secure",
        static_ip=True,
    )


def split_offer_id(offer_id: str) -> tuple[str, str] | None:
    """Return flavor and region, None for an id that is none of ours."""
    flavor, _, region = offer_id.partition(SEPARATOR)
    return (flavor, region) if _FLAVOR.fullmatch(flavor) and _REGION.fullmatch(region) else None


def _dollars(value: object) -> Decimal:
    """Read a price that comes as a number or as digits."""
    if isinstance(value, str):
        if not _PRICE_TEXT.fullmatch(value):
            raise Malformed("a price was expected")
        try:
            value = Decimal(value)
        except InvalidOperation as error:
            raise Malformed("a price was expected") from error
    return number(value, high=PRICE_MAX_DOLLARS)


def _sizes(configurations: Mapping[str, object]) -> dict[int, int]:
    """Read ``{"1x": 10, "8x": 1}``."""
    return {
        int(size[:-1]): count
        for size, told in configurations.items()
        if re.fullmatch(r"[0-9]{1,4}x", size, re.ASCII) and (count := maybe(whole, told)) is not None
    }


def _hibernates(flavor: Mapping[str, object]) -> bool:
    features = maybe(mapping, flavor.get("features")) or {}
    return features.get("no_hibernation") is False


def _vram_mib(kind: str) -> int:
    """Read ``H100-80G-PCIe``; a nominal GB of memory is binary."""
    if told := _VRAM.search(kind):
        return int(told[1]) * _MIB_PER_GIB
    known = _VRAM_GB.get(_plain(kind))
    if known is None:
        raise Malformed("a GPU whose memory nobody tells")
    return known * _MIB_PER_GIB


def _ram_mib(value: object) -> int:
    return int(number(value, low=1) * _MIB_PER_GIB)


def _interconnect(kind: str) -> str | None:
    upper = kind.upper()
    return next((form for form in ("sxm", "pcie", "nvl") if form.upper() in upper), None)


def _plain(words: str) -> str:
    return _NOT_PLAIN.sub("", words.casefold())
