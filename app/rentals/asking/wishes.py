"""Wire shapes of what callers send about rentals, keys, templates and quotes; every field has its bounds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from app.machines import environment_file
from app.rentals.asking.interruption_wishes import InterruptionWishes, Script
from app.rentals.asking.probing import Probe
from app.rentals.asking.schemas import RentalStatus
from app.rentals.asking.team_wishes import TeamName, TeamWish
from app.web import Page
from app.web.schemas import DecimalIn, Lines, Name, PositiveMoneyIn, Text, Wire

YEAR_SECONDS: Final = 365 * 24 * 3600
ENV_BYTES_MAX: Final = 32 * 1024
KEYS_MAX: Final = 50
WAIT_SECONDS_MAX: Final = 7 * 86_400
_ENV_ENTRIES_MAX = 100
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
_SSH_PORT = 22
_CLEARABLE = frozenset({"startup_script", "probe", "on_interrupt", "checkpoint_uri"})


def _ports(ports: list[int]) -> list[int]:
    if len(set(ports)) < len(ports):
        raise ValueError("must not name a port twice")
    if _SSH_PORT in ports:
        raise ValueError("must not name port 22: SSH is always there")
    return ports


def _variables(env: dict[str, str]) -> dict[str, str]:
    check_environment(env)
    return env


def check_environment(env: Mapping[str, str]) -> None:
    """Pass when a machine can have these variables.

    Raises:
        ValueError: too many, too long, or a name that no shell can export. Nothing of them is repeated.
    """
    if len(env) > _ENV_ENTRIES_MAX:
        raise ValueError(f"must have at most {_ENV_ENTRIES_MAX} entries, env and secrets together")
    if sum(len(name.encode()) + len(value.encode()) for name, value in env.items()) > ENV_BYTES_MAX:
        raise ValueError(f"must have at most {ENV_BYTES_MAX} bytes, env and secrets together")
    if not all(_VARIABLE.fullmatch(name) for name in env):
        raise ValueError("must have names of letters, digits and underscores, at most 128, not beginning with a digit")
    try:
        environment_file(env)
    except ValueError:
        raise ValueError("must not set a variable of the shell's own, and no value may hold NUL") from None


Seconds = Annotated[int, Field(ge=60, le=YEAR_SECONDS)]
DiskGb = Annotated[int, Field(ge=8, le=4096)]
Image = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:@-]{0,254}$", examples=["pytorch/pytorch:latest"])]
Ports = Annotated[list[Annotated[int, Field(ge=1, le=65_535)]], Field(max_length=20), AfterValidator(_ports)]
Tags = Annotated[
    dict[Annotated[Text, Field(min_length=1, max_length=64)], Annotated[Text, Field(max_length=256)]],
    Field(max_length=20, examples=[{"project": "atlas"}]),
]
Variables = Annotated[dict[str, str], Field(max_length=_ENV_ENTRIES_MAX), AfterValidator(_variables)]
Identifier = Annotated[Text, Field(min_length=1, max_length=64)]
KeyText = Annotated[str, Field(min_length=1, max_length=16 * 1024)]
_Label = Annotated[Text, Field(min_length=1, max_length=64)]
_Share = Annotated[DecimalIn, Field(ge=Decimal(0), le=Decimal(1))]


class ListingWishes(Wire):
    """What the listing must have: a quote's body, and the first half of a rental's."""

    family: Annotated[_Label | None, Field(examples=["rtx-4090"])] = None
    """A family's slug or any usual name."""
    min_vram_gb: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Per GPU; instead of a family, or beside it."""
    gpu_count: Annotated[int, Field(ge=1, le=16)] = 1
    region: Annotated[list[_Label], Field(default_factory=list, max_length=20)]
    """Region ids or country codes."""
    spot: Literal["only", "prefer", "never"] = "never"
    max_price_per_hour: PositiveMoneyIn | None = None
    """All-in, with the disk."""
    providers: Annotated[list[_Label], Field(default_factory=list, max_length=20)]
    disk_gb: DiskGb | None = None
    """20 by default, or what the template needs."""
    fallback_families: Annotated[list[_Label], Field(default_factory=list, max_length=8)]
    """Tried in this order when nothing of ``family`` fits."""
    min_reliability: _Share | None = None
    min_cpu: Annotated[int, Field(ge=1, le=1024)] | None = None
    min_ram_gb: Annotated[int, Field(ge=1, le=65_536)] | None = None
    min_inet_mbps: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    cuda_min: Annotated[str, Field(pattern=r"^[0-9]{1,3}(\.[0-9]{1,2})?$")] | None = None
    security_tier: Literal["community", "datacenter", "secure"] | None = None
    """This tier or a stronger one."""


class QuoteCreate(TeamWish, ListingWishes):
    """A wish for a quote."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"family": "rtx-4090", "disk_gb": 50}]})

    template: Identifier | None = None
    """Only for the disk that it needs."""

    @model_validator(mode="after")
    def _names_hardware(self) -> Self:
        _check_hardware(self)
        return self


class RentalCreate(TeamWish, InterruptionWishes, ListingWishes):
    """A wish for a rental: a quote's id, or what the listing must have; and what runs on it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"family": "rtx-4090", "template": "pytorch", "max_price_per_hour": "0.60", "name": "training"},
                {"quote_id": "quote_01J00000000000000000000000", "image": "nvidia/cuda:12.8.1-base-ubuntu24.04"},
            ]
        }
    )

    quote_id: Identifier | None = None
    template: Identifier | None = None
    """A built-in template's name, or an own one's id or name; ``ubuntu-24-04`` without one and without an image."""
    image: Image | None = None
    env: Variables = Field(default_factory=dict)
    secrets: Variables = Field(default_factory=dict)
    """More environment, for values that matter. Both are stored sealed and never shown; only names are."""
    ports: Ports = Field(default_factory=list)
    startup_script: Script | None = None
    probe: Probe | None = None
    ssh_key_ids: Annotated[list[Identifier], Field(max_length=KEYS_MAX)] | None = None
    ssh_public_keys: Annotated[list[KeyText], Field(max_length=KEYS_MAX)] | None = None
    """Instead of ids; without either, all keys of the account."""
    name: Name | None = None
    tags: Tags = Field(default_factory=dict)
    max_duration_seconds: Seconds | None = None
    max_spend: PositiveMoneyIn | None = None
    wait_seconds: Annotated[int, Field(ge=60, le=WAIT_SECONDS_MAX)] | None = None
    """Where nothing fits now, wait so long for something; an hour at ``max_price_per_hour`` is held meanwhile."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.quote_id is None:
            _check_hardware(self)
        elif self.model_fields_set & set(ListingWishes.model_fields):
            raise ValueError("with quote_id, what the listing must have is not said again")
        if self.wait_seconds is not None and self.max_price_per_hour is None:
            raise ValueError("takes wait_seconds only beside max_price_per_hour, which is held while it waits")
        if self.template is not None and self.image is not None:
            raise ValueError("takes template or image, not both")
        if self.ssh_key_ids is not None and self.ssh_public_keys is not None:
            raise ValueError("takes ssh_key_ids or ssh_public_keys, not both")
        if self.env.keys() & self.secrets.keys():
            raise ValueError("has the same name in env and in secrets")
        if self.env and self.secrets:
            check_environment(self.environment)
        return self

    @property
    def environment(self) -> dict[str, str]:
        """Everything the machine's environment gets from the caller."""
        return self.env | self.secrets


class RentalUpdate(Wire):
    """What is to change of a rental; what is not named stays, ``null`` clears."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "evaluation", "tags": {"project": "atlas"}}]})

    name: Name | None = None
    tags: Tags = Field(default_factory=dict)
    max_duration_seconds: Seconds | None = None

    @model_validator(mode="after")
    def _names_a_change(self) -> Self:
        _check_change(self)
        return self


class RentalExtend(Wire):
    """For how much longer a rental may run."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"seconds": 3600}]})

    seconds: Annotated[int, Field(ge=60, le=YEAR_SECONDS, examples=[3600])]


class RentalReport(Wire):
    """What is wrong with the machine."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "The GPU fell off the bus."}]})

    reason: Annotated[Lines, Field(min_length=1, max_length=1000, examples=["The GPU fell off the bus."])]


class SshKeyCreate(Wire):
    """A public key in OpenSSH's one-line form."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "laptop",
                    "public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c laptop",
                }
            ]
        }
    )

    name: Name
    public_key: Annotated[KeyText, Field(examples=["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI… you@laptop"])]


class TemplateCreate(InterruptionWishes):
    """An own template. It holds no environment: that is sent, sealed, with each rental."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "my-trainer", "image": "pytorch/pytorch:latest", "ports": [8000], "disk_gb": 40}]
        }
    )

    name: Name
    image: Image
    ports: Ports = Field(default_factory=list)
    startup_script: Script | None = None
    probe: Probe | None = None
    disk_gb: DiskGb = 20


class TemplateUpdate(InterruptionWishes):
    """What is to change of an own template; what is not named stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"disk_gb": 80}]})

    name: Name | None = None
    image: Image | None = None
    ports: Ports | None = None
    startup_script: Script | None = None
    probe: Probe | None = None
    disk_gb: DiskGb | None = None

    @model_validator(mode="after")
    def _names_a_change(self) -> Self:
        _check_change(self)
        if any(getattr(self, field) is None for field in self.model_fields_set - _CLEARABLE):
            raise ValueError(f"can clear nothing but {', '.join(sorted(_CLEARABLE))}")
        return self


class RentalPage(Page):
    """The query of the list of rentals."""

    status: Annotated[
        list[RentalStatus],
        Field(default_factory=list, max_length=9, description="Repeat it for several."),
    ]
    family: Annotated[str | None, Field(min_length=1, max_length=64)] = None
    tag: Annotated[str | None, Field(min_length=1, max_length=321, description="A tag's name, or `name:value`.")] = None
    team_id: TeamName | None = None


class SshKeyPage(Page):
    """The query of the list of SSH keys."""


class TemplatePage(Page):
    """The query of the list of templates."""


class EventPage(Page):
    """The query of a rental's events, the oldest first."""

    after_seq: Annotated[int, Field(ge=0, le=2**53 - 1, description="Only events after this one.")] = 0


def _check_hardware(wishes: ListingWishes) -> None:
    if wishes.family is None and wishes.min_vram_gb is None:
        raise ValueError("needs family or min_vram_gb")
    if wishes.fallback_families and wishes.family is None:
        raise ValueError("takes fallback_families only beside family")


def _check_change(update: Wire) -> None:
    if not update.model_fields_set:
        raise ValueError("names nothing to change")
