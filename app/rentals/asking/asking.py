"""What a caller asks for, before anything is reserved, and what a listing looks like once it is chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from app import catalog, policies
from app.rentals.asking.launching import Launch

_NOT_STORED = frozenset({"exclude_listing_ids"})
_WANTED_FIELDS = tuple(found.name for found in fields(catalog.Wanted) if found.name not in _NOT_STORED)


@dataclass(frozen=True, slots=True)
class Ask:
    """One request for a rental, checked for form. Amounts in micro-dollars."""

    wanted: catalog.Wanted
    launch: Launch
    name: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    ssh_keys: tuple[Mapping[str, str | None], ...] = ()
    """``{"id", "public_key"}`` each."""
    max_duration_seconds: int | None = None
    max_spend: int | None = None
    wait_seconds: int | None = None
    """How long it may wait where nothing fits now; None for not at all."""
    rules: policies.Rules | None = None
    """On whose account, with the policies that ``wanted`` was narrowed by; None for the account's own."""


def stored_wanted(wanted: catalog.Wanted) -> dict[str, Any]:
    """Return what is wanted as JSON."""
    told = {name: getattr(wanted, name) for name in _WANTED_FIELDS}  # asdict would copy deeply, on a hot path
    return {name: list(value) if isinstance(value, tuple) else value for name, value in told.items()}


def restored_wanted(stored: Mapping[str, Any], **changes: Any) -> catalog.Wanted:  # noqa: ANN401 - fields of Wanted
    """Return what ``stored_wanted`` told, with changes."""
    known = {found.name for found in fields(catalog.Wanted)}
    values = {
        name: tuple(value) if isinstance(value, list) else value for name, value in stored.items() if name in known
    }
    values["spot"] = catalog.Spot(str(values["spot"]))
    return catalog.Wanted(**{**values, **changes})


@dataclass(frozen=True, slots=True)
class Chosen:
    """The listing a rental or an attempt is about, as it stood when chosen; what is stored beside it as JSON."""

    listing_id: str
    provider: str
    offer_id: str
    host_id: str | None
    family: str
    model: str
    gpu_count: int
    vram_mib: int
    interconnect: str | None
    spot: bool
    region_id: str
    region_name: str
    country: str | None
    price_micros_per_hour: int
    """The GPUs' part."""
    disk_micros_per_hour: int
    all_in_micros_per_hour: int
    stopped_micros_per_hour: int | None = None
    """What the cloud asks while the machine is off, beside the disk; None where it tells nothing."""
    reliability_ppm: int | None = None

    @classmethod
    def of(cls, match: catalog.Match) -> Chosen:
        """Return what is kept of a match."""
        found = match.listing
        return cls(
            listing_id=found.id,
            provider=found.provider,
            offer_id=found.offer_id,
            host_id=found.host_id,
            family=found.family,
            model=found.model,
            gpu_count=found.gpu_count,
            vram_mib=found.vram_mib,
            interconnect=found.interconnect,
            spot=found.spot,
            region_id=found.region_id,
            region_name=found.region_name,
            country=found.country,
            price_micros_per_hour=found.price_micros_per_hour,
            disk_micros_per_hour=match.disk_micros_per_hour,
            all_in_micros_per_hour=match.all_in_micros_per_hour,
            stopped_micros_per_hour=found.stopped_micros_per_hour,
            reliability_ppm=found.reliability_ppm,
        )

    def stored(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {name: getattr(self, name) for name in _CHOSEN_FIELDS}

    @classmethod
    def restored(cls, stored: Mapping[str, Any]) -> Chosen:
        """Return what ``stored`` told."""
        return cls(**stored)


_CHOSEN_FIELDS = tuple(found.name for found in fields(Chosen))
