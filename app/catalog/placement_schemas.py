"""Wire shapes of placements."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from app.catalog.families import get_family
from app.catalog.filters import known_family
from app.catalog.listing import Spot, Wanted
from app.catalog.normalising import DEFAULT_DISK_GB, GPU_COUNT_MAX
from app.catalog.placing import Placement
from app.catalog.schemas import ListingOut, Share
from app.catalog.scoring import WEIGHTS_PERCENT, Formula, Ranking
from app.web.schemas import DecimalIn, MoneyOut, PositiveMoneyIn, Text, Wire

_Label = Annotated[Text, Field(min_length=1, max_length=64)]


class PlacementIn(Wire):
    """What a machine must have, and by which formula its place is chosen."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"family": "rtx-4090", "formula": "weighted"}]})

    family: _Label | None = None
    """A family's slug or any usual name."""
    min_vram_gb: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Per GPU; instead of a family, or beside it."""
    gpu_count: Annotated[int, Field(ge=1, le=GPU_COUNT_MAX)] = 1
    region: Annotated[list[_Label], Field(default_factory=list, max_length=20)]
    """Region ids or country codes."""
    spot: Literal["only", "prefer", "never"] = "never"
    """``prefer`` considers both kinds."""
    max_price_per_hour: PositiveMoneyIn | None = None
    """All-in, with the disk."""
    providers: Annotated[list[_Label], Field(default_factory=list, max_length=20)]
    disk_gb: Annotated[int, Field(ge=1, le=10**6)] = DEFAULT_DISK_GB
    min_reliability: Annotated[DecimalIn, Field(ge=Decimal(0), le=Decimal(1))] | None = None
    security_tier: Literal["community", "datacenter", "secure"] | None = None
    """This tier or a stronger one."""
    formula: Annotated[Formula, Field(strict=False)] = Formula.WEIGHTED
    """``weighted``: 0.55 x cost + 0.25 x latency + 0.20 x (1 - availability), each part normalised; ``ratio``:
    (price / availability) x (latency in ms / 100)."""

    @model_validator(mode="after")
    def _names_hardware(self) -> Self:
        if self.family is None and self.min_vram_gb is None:
            raise ValueError("needs family or min_vram_gb")
        return self

    def wanted(self) -> Wanted:
        """Return it in the catalog's terms.

        Raises:
            UnknownFamily: a name that is no family's.
        """
        reliability = self.min_reliability
        return Wanted(
            families=None if self.family is None else (known_family(self.family).slug,),
            min_vram_gb=self.min_vram_gb,
            gpu_count=self.gpu_count,
            regions=tuple(self.region) or None,
            providers=tuple(self.providers) or None,
            spot=Spot(self.spot),
            max_price_micros_per_hour=self.max_price_per_hour,
            disk_gb=self.disk_gb,
            min_reliability_ppm=None if reliability is None else int(reliability * 1_000_000),
            security_tier=self.security_tier,
        )


class ScorePartsOut(Wire):
    """What a score is made of. Each is a number from 0 to 1."""

    cost: Share
    """The price per hour over the dearest that was considered."""
    latency: Share
    """The latency over the longest that was considered."""
    availability: Share
    """The probability of a launch: (succeeded + 20) / (launches + 20) over the last 7 days, at least a quarter."""


class CandidateOut(Wire):
    """One place, ranked."""

    rank: int
    score: Share
    """Lower is better."""
    parts: ScorePartsOut
    cost_per_hour: MoneyOut
    """All-in; a minimum commitment of more than an hour is spread over one."""
    latency_ms: int
    """How long it takes to connect to a machine's SSH server there, the median of the last 7 days."""
    latency_source: str
    """``measured`` there; ``median`` of the places where it was; ``assumed`` where it was measured nowhere."""
    launches: int
    """From how many launches the availability is measured; 0: it is taken to be 1."""
    listing: ListingOut


class ComparedWithOut(Wire):
    """The figures by which parts are normalised."""

    cost_per_hour: MoneyOut
    latency_ms: int


class PlacementsOut(Wire):
    """The three best places, the best first; none where nothing fits."""

    object: Literal["placements"] = "placements"
    formula: str
    weights: dict[str, Share]
    considered: int
    """The three cheapest listings that fit of each provider, region, family and kind."""
    compared_with: ComparedWithOut
    candidates: list[CandidateOut]

    @classmethod
    def of(cls, body: PlacementIn, ranking: Ranking, placements: Sequence[Placement], *, at: datetime) -> PlacementsOut:
        """Return a ranking as it is shown."""
        return cls(
            formula=body.formula.value,
            weights={name: percent * 10_000 for name, percent in WEIGHTS_PERCENT.items()},
            considered=ranking.considered,
            compared_with=ComparedWithOut(
                cost_per_hour=ranking.dearest_micros_per_hour, latency_ms=ranking.longest_latency_ms
            ),
            candidates=[_candidate(number, one, body, at=at) for number, one in enumerate(placements, start=1)],
        )


def _candidate(number: int, placement: Placement, body: PlacementIn, *, at: datetime) -> CandidateOut:
    listing, score = placement.listing, placement.score
    return CandidateOut(
        rank=number,
        score=score.score_ppm,
        parts=ScorePartsOut(
            cost=score.cost_ppm, latency=score.latency_ppm, availability=score.candidate.availability_ppm
        ),
        cost_per_hour=score.candidate.micros_per_hour,
        latency_ms=score.latency_ms,
        latency_source=score.latency_source.value,
        launches=score.candidate.launches,
        listing=ListingOut.of(listing, family=get_family(listing.family), disk_gb=body.disk_gb, at=at),
    )
