"""Wire shapes of the catalog's answers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Annotated, Literal

from pydantic import Field, PlainSerializer, WithJsonSchema

from app.catalog.discounts import SpotDiscount
from app.catalog.families import Family
from app.catalog.filtering import BYTES_PER_GB, BYTES_PER_MIB
from app.catalog.listing import Listing
from app.catalog.queries import Facet
from app.kit.money import dollars
from app.web.schemas import MoneyOut, TimeOut, Wire

_CENT = Decimal("0.01")

Share = Annotated[
    int,
    PlainSerializer(lambda ppm: ppm / 1_000_000, return_type=float),
    WithJsonSchema({"type": "number", "examples": [0.998]}),
]
"""Parts per million inside, a number such as 0.998 out."""


class HardwareOut(Wire):
    """What one GPU of a form can do, dense."""

    bandwidth_gb_per_second: int
    fp16_tflops: int
    fp8_tflops: int | None


class SpotDiscountOut(Wire):
    """How much cheaper spot was at one provider, and from how many hours of a region that is known."""

    provider: str
    discount: Share
    hours: int


class FamilyOut(Wire):
    """A GPU model line with one memory size."""

    id: str
    object: Literal["family"] = "family"
    title: str
    vram_gb: int
    architecture: str
    cpu_architecture: str
    aliases: list[str]
    hardware: dict[str, HardwareOut]
    """Interconnect → figures."""
    listings: int
    from_price_per_gpu_hour: MoneyOut | None
    spot_discount: Share | None = None
    """How much cheaper spot was, measured over the last 7 days; told for a single family. 0.6 is 60 % off."""
    spot_discount_hours: int = 0
    """The size of the sample: hours in which a region of a provider had both kinds."""
    spot_discounts: Annotated[list[SpotDiscountOut], Field(default_factory=list)]
    """The same for each provider."""

    @classmethod
    def of(cls, family: Family, facet: Facet | None, *, discounts: Sequence[SpotDiscount] = ()) -> FamilyOut:
        """Return a family with what is on offer of it."""
        overall = next((found for found in discounts if found.provider is None), None)
        return cls(
            id=family.slug,
            title=family.title,
            vram_gb=family.vram_gb,
            architecture=family.architecture,
            cpu_architecture=family.cpu,
            aliases=list(family.aliases),
            hardware={
                form: HardwareOut(
                    bandwidth_gb_per_second=figures.bandwidth_gb_per_second,
                    fp16_tflops=figures.fp16_tflops,
                    fp8_tflops=figures.fp8_tflops,
                )
                for form, figures in family.forms.items()
            },
            listings=facet.listings if facet else 0,
            from_price_per_gpu_hour=facet.from_micros_per_gpu_hour if facet else None,
            spot_discount=overall.discount_ppm if overall else None,
            spot_discount_hours=overall.hours if overall else 0,
            spot_discounts=[
                SpotDiscountOut(provider=found.provider, discount=found.discount_ppm, hours=found.hours)
                for found in discounts
                if found.provider is not None
            ],
        )


class RegionOut(Wire):
    """A place."""

    id: str
    name: str
    country: str | None


class ComponentsOut(Wire):
    """What the price is made of, for the whole listing."""

    gpu: MoneyOut
    disk_per_gb_month: MoneyOut
    egress_per_gb: MoneyOut | None
    stopped_per_hour: MoneyOut | None


class ListingOut(Wire):
    """One provider's offer within a family."""

    id: str
    object: Literal["listing"] = "listing"
    family: str
    model: str
    gpu_count: int
    vram_gb: int
    """Per GPU, as the vendor counts it."""
    provider: str
    region: RegionOut
    spot: bool
    price_per_hour: MoneyOut
    """All-in with ``disk_gb``."""
    expected_price_per_hour: MoneyOut
    """The price times the launches that a machine takes there, measured: what the choice goes by, and nothing charged."""
    disk_gb: int
    components: ComponentsOut
    min_commitment_seconds: int
    cpu_cores: int | None
    ram_gb: int | None
    disk_gb_max: int | None
    inet_up_mbps: int | None
    inet_down_mbps: int | None
    interconnect: str | None
    cpu_architecture: str
    cuda_max: str | None
    reliability: Share | None
    security_tier: str
    static_ip: bool
    launch_success: Share | None
    provision_seconds_p50: int | None
    interruption_per_hour: Share | None
    available: bool
    observed_at: TimeOut
    as_of: TimeOut | None
    """Since when the price stands, where it comes from a price sheet."""
    stale_at: TimeOut | None
    """When the price sheet is too old: from then on the listing is not available until the sheet is brought up to date."""
    display: str

    @classmethod
    def of(cls, listing: Listing, *, family: Family, disk_gb: int, at: datetime) -> ListingOut:
        """Return a listing priced for a disk."""
        price = listing.all_in(disk_gb)
        return cls(
            id=listing.id,
            family=listing.family,
            model=listing.model,
            gpu_count=listing.gpu_count,
            vram_gb=family.vram_gb,
            provider=listing.provider,
            region=RegionOut(id=listing.region_id, name=listing.region_name, country=listing.country),
            spot=listing.spot,
            price_per_hour=price,
            expected_price_per_hour=listing.expected(disk_gb),
            disk_gb=disk_gb,
            components=_components(listing),
            min_commitment_seconds=listing.min_commitment_seconds,
            cpu_cores=listing.cpu_cores,
            ram_gb=None if listing.ram_mib is None else listing.ram_mib * BYTES_PER_MIB // BYTES_PER_GB,
            disk_gb_max=listing.disk_gb_max,
            inet_up_mbps=listing.inet_up_mbps,
            inet_down_mbps=listing.inet_down_mbps,
            interconnect=listing.interconnect,
            cpu_architecture=listing.architecture,
            cuda_max=listing.cuda_max,
            reliability=listing.reliability_ppm,
            security_tier=listing.security_tier,
            static_ip=listing.static_ip,
            launch_success=listing.launch_success_ppm,
            provision_seconds_p50=listing.provision_seconds_p50,
            interruption_per_hour=listing.interruptions_per_hour_ppm,
            available=listing.is_available(at),
            observed_at=listing.observed_at,
            as_of=listing.priced_at,
            stale_at=listing.priced_until,
            display=_display(listing, price),
        )


class FacetOut(Wire):
    """One value of a dimension."""

    value: str
    listings: int
    from_price_per_gpu_hour: MoneyOut


class FacetsOut(Wire):
    """For each dimension its values, the most frequent first."""

    object: Literal["catalog_facets"] = "catalog_facets"
    facets: dict[str, list[FacetOut]]

    @classmethod
    def of(cls, rows: list[Facet]) -> FacetsOut:
        """Return the facets by dimension."""
        by_dimension: dict[str, list[FacetOut]] = {}
        for row in rows:
            facet = FacetOut(
                value=row.value, listings=row.listings, from_price_per_gpu_hour=row.from_micros_per_gpu_hour
            )
            by_dimension.setdefault(row.dimension, []).append(facet)
        return cls(facets=by_dimension)


def _components(listing: Listing) -> ComponentsOut:
    return ComponentsOut(
        gpu=listing.price_micros_per_hour,
        disk_per_gb_month=listing.disk_micros_per_gb_month,
        egress_per_gb=listing.egress_micros_per_gb,
        stopped_per_hour=listing.stopped_micros_per_hour,
    )


def _display(listing: Listing, price_micros: int) -> str:
    """Return one line for people, its price rounded to cents: ``Vast.ai, Oregon, US, 1x RTX 4090 24GB, $0.40/hr``."""
    cents = Decimal(dollars(price_micros)).quantize(_CENT, ROUND_HALF_EVEN)
    kind = " spot" if listing.spot else ""
    return f"{listing.provider_title}, {listing.region_name}, {listing.gpu_count}x {listing.model}{kind}, ${cents}/hr"
