"""From a cloud's offer to a listing: one family, one place, sane figures, or the reason why it is left out."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from operator import attrgetter
from typing import Any

from app.catalog.families import match_family
from app.catalog.regions import normalise_region
from app.kit.ids import ListingId
from app.providers.contract import Offer

HOURS_PER_MONTH = 720
DEFAULT_DISK_GB = 20
GPU_COUNT_MAX = 64
PRICE_MICROS_PER_GPU_HOUR_MAX = 1_000_000_000
DISK_MICROS_PER_GB_MONTH_MAX = 100_000_000
COMMITMENT_SECONDS_MAX = 31 * 86_400
TIERS = ("community", "datacenter", "secure")
"""Security tiers, weakest first."""

_FIGURE_MAX = 2**40
_RELIABILITY_MAX = 1_000_000
_TEXT_MAX = 200
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_BASE32 = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
_SHIFTS = range(120, -1, -10)
"""A ULID is written ten bits at a time: there are a hundred thousand at every refresh."""
_CUDA = re.compile(r"([0-9]{1,3})(?:\.([0-9]{1,2}))?(?:\.[0-9]{1,3})?", re.ASCII)
_INTERCONNECTS = frozenset({"sxm", "pcie", "nvl"})


class LeftOut(StrEnum):
    """Why an offer is no listing."""

    UNKNOWN_FAMILY = "unknown_family"
    MALFORMED = "malformed"
    PRICE_OUT_OF_BOUNDS = "price_out_of_bounds"
    DUPLICATE = "duplicate"
    OTHER_PROVIDER = "other_provider"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingValues:
    """What a cloud says of a listing, in our terms. Prices are for the whole listing, memory is per GPU."""

    id: str
    provider: str
    offer_id: str
    spot: bool
    family: str
    model: str
    gpu_count: int
    vram_mib: int
    interconnect: str | None
    architecture: str
    region_id: str
    region_name: str
    country: str | None
    price_micros_per_hour: int
    """The GPU part, without disk."""
    disk_micros_per_gb_month: int
    egress_micros_per_gb: int | None
    stopped_micros_per_hour: int | None
    min_commitment_seconds: int
    cpu_cores: int | None
    ram_mib: int | None
    disk_gb_max: int | None
    inet_up_mbps: int | None
    inet_down_mbps: int | None
    cuda_max: str | None
    cuda_rank: int | None
    """``cuda_max`` as a number that compares: 12.8 → 12008."""
    reliability_ppm: int | None
    security_tier: str
    static_ip: bool
    host_id: str | None
    priced_at: datetime | None = None
    """Since when the price stands, where a sheet tells it and not the cloud itself."""
    priced_until: datetime | None = None
    """The end of the sheet's own age: never quoted from then on."""


_OURS = {"interconnect", "architecture", "region_id", "region_name", "country"}
_AS_TOLD = sorted({field.name for field in fields(ListingValues)} & {field.name for field in fields(Offer)} - _OURS)
"""What is taken over from an offer as it is."""
_told = attrgetter(*_AS_TOLD)


@dataclass(frozen=True, slots=True)
class Normalised:
    """One cloud's answer: listings, each id once, and how many offers were left out for what reason."""

    listings: list[ListingValues]
    left_out: dict[LeftOut, int]


def all_in_micros_per_hour(price_micros_per_hour: int, disk_micros_per_gb_month: int, disk_gb: int) -> int:
    """Return GPU + disk per hour: price + ⌈disk rate x GB / 720⌉. A month has 720 hours; rounded up."""
    return price_micros_per_hour + -(-disk_micros_per_gb_month * disk_gb // HOURS_PER_MONTH)


def listing_id(provider: str, offer_id: str, *, spot: bool) -> ListingId:
    """Return the id of an offer's listing: made from what the offer is, hence the same at every refresh, for ever."""
    digest = hashlib.sha256(f"{provider}\n{offer_id}\n{spot}".encode()).digest()
    number = int.from_bytes(digest[:16])
    return ListingId(f"{ListingId.prefix}_{''.join([_BASE32[number >> shift & 1023] for shift in _SHIFTS])}")


def normalise_all(provider: str, offers: Iterable[Offer]) -> Normalised:
    """Normalise a whole answer of one cloud; of offers with the same id the first counts."""
    listings: dict[str, ListingValues] = {}
    left_out: dict[LeftOut, int] = {}
    for offer in offers:
        result = normalise(offer) if offer.provider == provider else LeftOut.OTHER_PROVIDER
        if isinstance(result, ListingValues) and result.id in listings:
            result = LeftOut.DUPLICATE
        if isinstance(result, LeftOut):
            left_out[result] = left_out.get(result, 0) + 1
        else:
            listings[result.id] = result
    return Normalised(list(listings.values()), left_out)


def normalise(offer: Offer) -> ListingValues | LeftOut:
    """Return the listing for an offer, or why there is none."""
    if not _is_well_formed(offer):
        return LeftOut.MALFORMED
    if not 0 < offer.price_micros_per_hour <= PRICE_MICROS_PER_GPU_HOUR_MAX * offer.gpu_count:
        return LeftOut.PRICE_OUT_OF_BOUNDS
    if not 0 <= offer.disk_micros_per_gb_month <= DISK_MICROS_PER_GB_MONTH_MAX:
        return LeftOut.PRICE_OUT_OF_BOUNDS
    match = match_family(offer.gpu_name, offer.vram_mib)
    if match is None:
        return LeftOut.UNKNOWN_FAMILY
    interconnect = match.interconnect or (offer.interconnect if offer.interconnect in match.family.forms else None)
    region = normalise_region(offer.region_id, offer.region_name, offer.country)
    as_told: dict[str, Any] = dict(zip(_AS_TOLD, _told(offer), strict=True))
    return ListingValues(
        **as_told,
        id=listing_id(offer.provider, offer.offer_id, spot=offer.spot),
        family=match.family.slug,
        model=match.family.model(interconnect),
        interconnect=interconnect,
        architecture=match.family.cpu if offer.architecture == "x86_64" else offer.architecture,
        region_id=region.id,
        region_name=region.name,
        country=region.country,
        cuda_rank=cuda_rank(offer.cuda_max),
    )


def cuda_rank(version: str | None) -> int | None:
    """Return a CUDA version as a number that compares (``12.8`` → 12008), or None where it is no version."""
    found = _CUDA.fullmatch(version or "")
    return int(found[1]) * 1000 + int(found[2] or 0) if found else None


def _is_well_formed(offer: Offer) -> bool:
    named = (offer.provider, offer.offer_id, offer.gpu_name, offer.architecture)
    texts = (*named, offer.host_id or "", offer.cuda_max or "")
    figures = (
        offer.egress_micros_per_gb,
        offer.stopped_micros_per_hour,
        offer.cpu_cores,
        offer.ram_mib,
        offer.disk_gb_max,
        offer.inet_up_mbps,
        offer.inet_down_mbps,
    )
    return (
        all(named)
        and max(map(len, texts)) <= _TEXT_MAX
        and "".join(texts).isprintable()
        and all(figure is None or 0 <= figure <= _FIGURE_MAX for figure in figures)
        and 1 <= offer.gpu_count <= GPU_COUNT_MAX
        and 0 < offer.vram_mib <= _FIGURE_MAX
        and 0 <= offer.min_commitment_seconds <= COMMITMENT_SECONDS_MAX
        and 0 <= (offer.reliability_ppm or 0) <= _RELIABILITY_MAX
        and offer.security_tier in TIERS
        and offer.interconnect in {None, *_INTERCONNECTS}
    )
