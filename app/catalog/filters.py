"""The query parameters by which listings are filtered, and what they mean."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from app.catalog.errors import UnknownFamily
from app.catalog.families import Family, find_family
from app.catalog.listing import HARD_BOUND_SECONDS, Spot, Wanted
from app.catalog.normalising import DEFAULT_DISK_GB, GPU_COUNT_MAX
from app.catalog.queries import Sort
from app.web import Page
from app.web.schemas import MoneyIn

_NAMES_MAX = 50
_FIGURE_MAX = 10**6
HISTORY_DEFAULT = timedelta(days=7)

Names = Annotated[list[Annotated[str, Field(min_length=1, max_length=64)]], Field(max_length=_NAMES_MAX)]
Figure = Annotated[int, Field(ge=0, le=_FIGURE_MAX)]


class ListingFilter(BaseModel):
    """What listings must have."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    family: Annotated[Names | None, Field(description="Slugs or usual names, such as `rtx-4090` or `H100_SXM`.")] = None
    min_vram_gb: Annotated[Figure | None, Field(description="Per GPU.")] = None
    gpu_count: Annotated[int | None, Field(ge=1, le=GPU_COUNT_MAX)] = None
    region: Annotated[Names | None, Field(description="Region ids or country codes.")] = None
    provider: Names | None = None
    spot: Annotated[Spot, Field(description="`prefer` takes both kinds.")] = Spot.PREFER
    max_price: Annotated[MoneyIn | None, Field(description="Per hour, all-in with `disk_gb`.")] = None
    disk_gb: Annotated[int, Field(ge=1, le=_FIGURE_MAX)] = DEFAULT_DISK_GB
    min_reliability: Annotated[Decimal | None, Field(ge=0, le=1)] = None
    min_disk_gb: Figure | None = None
    min_cpu: Figure | None = None
    min_ram_gb: Figure | None = None
    min_inet_mbps: Figure | None = None
    cuda_min: Annotated[str | None, Field(pattern=r"^[0-9]{1,3}(\.[0-9]{1,2})?$")] = None
    security_tier: Annotated[
        str | None, Field(pattern=r"^(community|datacenter|secure)$", description="This tier or a stronger one.")
    ] = None
    max_age_seconds: Annotated[int, Field(ge=1, le=HARD_BOUND_SECONDS)] = HARD_BOUND_SECONDS

    def wanted(self) -> Wanted:
        """Return the filter in the catalog's terms.

        Raises:
            UnknownFamily: a name that is no family's.
        """
        reliability = self.min_reliability
        return Wanted(
            families=None if self.family is None else tuple(known_family(name).slug for name in self.family),
            min_vram_gb=self.min_vram_gb,
            gpu_count=self.gpu_count,
            regions=None if self.region is None else tuple(self.region),
            providers=None if self.provider is None else tuple(self.provider),
            spot=self.spot,
            max_price_micros_per_hour=self.max_price,
            disk_gb=self.disk_gb,
            min_disk_gb=self.min_disk_gb,
            min_reliability_ppm=None if reliability is None else int(reliability * 1_000_000),
            min_cpu=self.min_cpu,
            min_ram_gb=self.min_ram_gb,
            min_inet_mbps=self.min_inet_mbps,
            cuda_min=self.cuda_min,
            security_tier=self.security_tier,
            max_age_seconds=self.max_age_seconds,
        )


class ListingPage(Page, ListingFilter):
    """The query of the list of listings."""

    sort: Sort = Sort.PRICE


def known_family(name: str) -> Family:
    """Return the family that a caller names.

    Raises:
        UnknownFamily: none is called so.
    """
    family = find_family(name)
    if family is None:
        raise UnknownFamily
    return family
