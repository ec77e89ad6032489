"""What Modal rents out and what it costs: a table, since there is no list to ask. Its rates are a cross-check.

A sandbox pays for CPU and memory on top of the GPU, for the larger of what it asked for and what it uses. Each is made
with its request as its limit, so that the sum here is all it can cost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from app.kit.money import MICROS_PER_DOLLAR, SECONDS_PER_HOUR
from app.providers.contract import Offer

REGION = "any"
SEPARATOR = ":"
DISK_GB_MAX = 500
"""Every sandbox has a disk of this size; it costs nothing and can't be had larger."""
TOLERANCE_PERCENT = 5
"""Rates that differ from the table by more are told to the operator."""

_CPU_MICROS_PER_CORE_HOUR = 141_480
_MEMORY_MICROS_PER_GIB_HOUR = 23_976
_MIB_PER_GIB = 1024
_PLAUSIBLE = 3
"""A rate that is further off than this factor is in another unit than we can tell."""
_COUNTS = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU string and the share of a machine that goes with each."""

    name: str
    gpu_name: str
    """What it is, for the catalog."""
    vram_mib: int
    micros_per_second: int
    cores: int
    ram_gib: int
    count_max: int = 8
    interconnect: str | None = None


@dataclass(frozen=True, slots=True)
class Shape:
    """So many GPUs of a kind with their share of CPU and memory: what an offer's id stands for."""

    gpu: Gpu
    count: int

    @property
    def offer_id(self) -> str:
        """The GPU string with its count."""
        return f"{self.gpu.name}{SEPARATOR}{self.count}"

    @property
    def cores(self) -> int:
        """Physical cores."""
        return self.gpu.cores * self.count

    @property
    def ram_mib(self) -> int:
        """Memory."""
        return self.gpu.ram_gib * self.count * _MIB_PER_GIB

    @property
    def micros_per_hour(self) -> int:
        """All that it costs."""
        gpu = self.gpu.micros_per_second * SECONDS_PER_HOUR
        share = self.gpu.cores * _CPU_MICROS_PER_CORE_HOUR + self.gpu.ram_gib * _MEMORY_MICROS_PER_GIB_HOUR
        return (gpu + share) * self.count


GPUS: tuple[Gpu, ...] = (
    Gpu("T4", "T4", 15_360, 164, 2, 8, interconnect="pcie"),
    Gpu("L4", "L4", 23_034, 222, 2, 8, interconnect="pcie"),
    Gpu("A10", "A10", 23_028, 306, 2, 8, count_max=4, interconnect="pcie"),
    Gpu("L40S", "L40S", 46_068, 542, 4, 16, interconnect="pcie"),
    Gpu("A100-40GB", "A100", 40_960, 583, 4, 16),
    Gpu("A100-80GB", "A100", 81_920, 694, 4, 16),
    Gpu("RTX-PRO-6000", "RTX PRO 6000", 97_887, 842, 4, 16, interconnect="pcie"),
    Gpu("H100!", "H100", 81_559, 1_097, 4, 32, interconnect="sxm"),
    Gpu("H200", "H200", 143_771, 1_261, 4, 32, interconnect="sxm"),
    Gpu("B200", "B200", 183_359, 1_736, 4, 32, interconnect="sxm"),
)
"""``H100`` without the mark may be an H200 and ``B200+`` a B300: neither is sold, since a rental gets what it names."""


def shapes() -> Iterator[Shape]:
    """Yield everything on offer."""
    for gpu in GPUS:
        for count in _COUNTS:
            if count <= gpu.count_max:
                yield Shape(gpu, count)


def offer_of(shape: Shape) -> Offer:
    """Return a shape as an offer."""
    return Offer(
        provider="modal",
        offer_id=shape.offer_id,
        gpu_name=shape.gpu.gpu_name,
        gpu_count=shape.count,
        vram_mib=shape.gpu.vram_mib,
        price_micros_per_hour=shape.micros_per_hour,
        disk_micros_per_gb_month=0,
        spot=False,
        region_id=REGION,
        region_name="Any region",
        country=None,
        cpu_cores=shape.cores,
        ram_mib=shape.ram_mib,
        disk_gb_max=DISK_GB_MAX,
        egress_micros_per_gb=0,
        interconnect=shape.gpu.interconnect,
        security_tier="secure",
    )


def find_shape(offer_id: str) -> Shape | None:
    """Return what an offer's id stands for."""
    return next((shape for shape in shapes() if shape.offer_id == offer_id), None)


@dataclass(frozen=True, slots=True)
class Difference:
    """A price of the table that is not the workspace's."""

    gpu: str
    ours: int
    theirs: int
    """Micro-dollars per GPU-hour."""


def differences(rates: Mapping[str, Decimal]) -> list[Difference]:
    """Return where the workspace's rates differ from the table by more than the tolerance.

    How rates are named and per what they are told is not documented, so a GPU is looked for in the names, and a rate
    read per second or per hour, whichever is nearer. A GPU without a readable rate is left out.
    """
    named = {_key(name): rate for name, rate in rates.items()}
    found = []
    for gpu in GPUS:
        ours, key = gpu.micros_per_second * SECONDS_PER_HOUR, _key(gpu.name)
        rate = next((rate for name, rate in named.items() if name in {key, f"GPU{key}", f"{key}GPU"}), None)
        theirs = None if rate is None else _hourly(rate, like=ours)
        if theirs is not None and abs(theirs - ours) * 100 > ours * TOLERANCE_PERCENT:
            found.append(Difference(gpu.name, ours, theirs))
    return found


def _hourly(rate: Decimal, *, like: int) -> int | None:
    for factor in (SECONDS_PER_HOUR, 1):
        micros = int(rate * factor * MICROS_PER_DOLLAR)
        if like <= micros * _PLAUSIBLE and micros <= like * _PLAUSIBLE:
            return micros
    return None


def _key(name: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", name.upper())
