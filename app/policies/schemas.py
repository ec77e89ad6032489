"""Wire shapes of what callers say about policies."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from app import catalog
from app.kit.days import zone_named
from app.policies.terms import OnExceeded, Terms
from app.web.schemas import DecimalIn, MoneyIn, PositiveMoneyIn, Text, Wire

_PPM = 1_000_000
_YEAR_SECONDS = 365 * 24 * 3600
_MANY = 100_000


def _family(name: str) -> str:
    family = catalog.find_family(name)
    if family is None:
        raise ValueError("must be a GPU family: GET /v1/families lists them")
    return family.slug


def _zone(name: str) -> str:
    zone_named(name)
    return name


def _once(names: list[str]) -> list[str]:
    return list(dict.fromkeys(names))


Label = Annotated[Text, Field(min_length=1, max_length=64)]
FamilyName = Annotated[Label, AfterValidator(_family), Field(examples=["rtx-4090"])]
Labels = Annotated[list[Label], Field(min_length=1, max_length=100), AfterValidator(_once)]
Families = Annotated[list[FamilyName], Field(max_length=100), AfterValidator(_once)]
Count = Annotated[int, Field(ge=0, le=_MANY)]
Seconds = Annotated[int, Field(ge=60, le=_YEAR_SECONDS)]
Reliability = Annotated[DecimalIn, Field(ge=Decimal(0), le=Decimal(1))]
TimeZone = Annotated[str, Field(pattern=r"^[A-Za-z0-9_+/-]{1,64}$", examples=["Europe/Berlin"]), AfterValidator(_zone)]
OnExceededName = Literal["alert", "pause_new", "stop_all"]


class PolicyTerms(Wire):
    """What a policy says. A limit that is null is none."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "gpu_whitelist": ["rtx-4090", "rtx-5090"],
                    "max_instances": 4,
                    "daily_budget": "50.00",
                    "on_budget_exceeded": "pause_new",
                }
            ]
        }
    )

    gpu_whitelist: Families | None = None
    """Families that may be rented; an empty list allows none."""
    max_instances: Count | None = None
    """Rentals that are not over."""
    max_gpus: Count | None = None
    max_price_per_hour: PositiveMoneyIn | None = None
    """All-in, of one rental."""
    daily_budget: MoneyIn | None = None
    monthly_budget: MoneyIn | None = None
    """Spent in the local day or month, everything that is held, and the new reserve lie within it."""
    max_duration_seconds: Seconds | None = None
    """Also the end of rentals that name none."""
    allowed_regions: Labels | None = None
    """Region ids or country codes."""
    allowed_providers: Labels | None = None
    min_reliability: Reliability | None = Decimal("0.95")
    """Of machines whose cloud tells it."""
    on_budget_exceeded: OnExceededName = "pause_new"

    def terms(self) -> Terms:
        """Return them as the engine knows them."""
        reliability = self.min_reliability
        return Terms(
            gpu_whitelist=as_tuple(self.gpu_whitelist),
            max_instances=self.max_instances,
            max_gpus=self.max_gpus,
            max_price_micros_per_hour=self.max_price_per_hour,
            daily_budget_micros=self.daily_budget,
            monthly_budget_micros=self.monthly_budget,
            max_duration_seconds=self.max_duration_seconds,
            allowed_regions=as_tuple(self.allowed_regions),
            allowed_providers=as_tuple(self.allowed_providers),
            min_reliability_ppm=None if reliability is None else int(reliability * _PPM),
            on_budget_exceeded=OnExceeded(self.on_budget_exceeded),
        )

    def changed(self, before: Terms) -> Terms:
        """Return other terms with what was named here in their place."""
        named = self.model_fields_set & PolicyTerms.model_fields.keys()
        now = {name: getattr(self, name) for name in named}
        return PolicyTerms.of(before).model_copy(update=now).terms()

    @staticmethod
    def of(terms: Terms) -> PolicyTerms:
        """Return the engine's terms as they would be set."""
        ppm = terms.min_reliability_ppm
        return PolicyTerms.model_construct(
            gpu_whitelist=as_list(terms.gpu_whitelist),
            max_instances=terms.max_instances,
            max_gpus=terms.max_gpus,
            max_price_per_hour=terms.max_price_micros_per_hour,
            daily_budget=terms.daily_budget_micros,
            monthly_budget=terms.monthly_budget_micros,
            max_duration_seconds=terms.max_duration_seconds,
            allowed_regions=as_list(terms.allowed_regions),
            allowed_providers=as_list(terms.allowed_providers),
            min_reliability=None if ppm is None else Decimal(ppm) / _PPM,
            on_budget_exceeded=terms.on_budget_exceeded.value,
        )


class PolicyUpdate(PolicyTerms):
    """What of a policy is to change: what is not named stays, null clears."""

    @model_validator(mode="after")
    def _names_a_change(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("must name something to change")
        if "on_budget_exceeded" in self.model_fields_set and self.on_budget_exceeded is None:
            raise ValueError("can't clear on_budget_exceeded")
        return self


class ZonedTerms(PolicyTerms):
    """Terms of the account or a person, whose days begin where this says; a team has its own time zone."""

    time_zone: TimeZone = "UTC"


class ZonedUpdate(PolicyUpdate):
    """What is to change, and where days begin."""

    time_zone: TimeZone | None = None


class PolicyCheck(Wire):
    """A rental that somebody might ask for."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"family": "rtx-4090", "gpu_count": 1}]})

    family: FamilyName
    gpu_count: Annotated[int, Field(ge=1, le=16)] = 1
    region: Labels | None = None
    provider: Label | None = None
    spot: Literal["only", "prefer", "never"] = "never"
    disk_gb: Annotated[int, Field(ge=8, le=4096)] = catalog.DEFAULT_DISK_GB
    price_per_hour: PositiveMoneyIn | None = None
    """Without it, that of the cheapest listing that fits now."""
    max_duration_seconds: Seconds | None = None
    max_spend: PositiveMoneyIn | None = None


def as_tuple(listed: list[str] | None) -> tuple[str, ...] | None:
    """Return names from the wire as the engine keeps them."""
    return None if listed is None else tuple(listed)


def as_list(names: tuple[str, ...] | None) -> list[str] | None:
    """Return names as the wire has them."""
    return None if names is None else list(names)
