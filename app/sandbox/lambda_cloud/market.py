"""What Lambda offers: instance types by region, with stocks and prices that move."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from app.sandbox.world import Steps

REGIONS = {
    "us-east-1": "Virginia, USA",
    "us-east-2": "Washington DC, USA",
    "us-east-3": "Washington DC, USA",
    "us-west-1": "California, USA",
    "us-west-2": "Arizona, USA",
    "us-west-3": "Utah, USA",
    "us-south-1": "Texas, USA",
    "us-south-2": "North Texas, USA",
    "us-south-3": "Central Texas, USA",
    "us-midwest-1": "Illinois, USA",
    "us-midwest-2": "Ohio, USA",
    "europe-central-1": "Germany",
    "asia-south-1": "India",
    "asia-northeast-1": "Osaka, Japan",
    "asia-northeast-2": "Tokyo, Japan",
    "me-west-1": "Israel",
    "australia-east-1": "Australia",
}

_BUILT_IN = """
gpu_1x_a10               A10           A10 (24 GB PCIe)            23028  30  200  1400    129
gpu_1x_rtx6000           RTX_6000      RTX 6000 (24 GB)            24576  14   46   512     69
gpu_1x_a6000             RTX_A6000     A6000 (48 GB)               49140  14  100   512    109
gpu_2x_a6000             RTX_A6000     A6000 (48 GB)               49140  28  200  1024    218
gpu_4x_a6000             RTX_A6000     A6000 (48 GB)               49140  56  400  1024    436
gpu_8x_v100              Tesla_V100    Tesla V100 (16 GB)          16384  92  448  5939    632
gpu_1x_a100              A100_PCIE     A100 (40 GB PCIe)           40960  30  200   512    199
gpu_1x_a100_sxm4         A100_SXM4     A100 (40 GB SXM4)           40960  30  200   512    199
gpu_8x_a100_80gb_sxm4    A100_SXM4     A100 (80 GB SXM4)           81920 240 1800 19968   2232
gpu_1x_gh200             GH200         GH200 (96 GB)               97871  64  432  4096    229
gpu_1x_h100_pcie         H100_PCIE     H100 (80 GB PCIe)           81559  26  225  1024    329
gpu_1x_h100_sxm5         H100_SXM      H100 (80 GB SXM5)           81559  26  225  2816    429
gpu_2x_h100_sxm5         H100_SXM      H100 (80 GB SXM5)           81559  52  450  5632    838
gpu_4x_h100_sxm5         H100_SXM      H100 (80 GB SXM5)           81559 104  900 11264   1636
gpu_8x_h100_sxm5         H100_SXM      H100 (80 GB SXM5)           81559 208 1800 22528   3192
gpu_1x_b200_sxm6         B200          B200 (180 GB SXM6)         183359  26  360  2816    699
gpu_2x_b200_sxm6         B200          B200 (180 GB SXM6)         183359  52  720  5632   1378
gpu_4x_b200_sxm6         B200          B200 (180 GB SXM6)         183359 104 1440 11264   2716
gpu_8x_b200_sxm6         B200          B200 (180 GB SXM6)         183359 208 2900 22528   5352
"""
_MOST_IN_STOCK = 6


@dataclass(eq=False, slots=True)
class InstanceType:
    """One type. ``stock`` is how many more can be launched, by region."""

    name: str
    gpu_name: str
    gpu_description: str
    """Holds the memory, ``(80 GB SXM5)``: Lambda tells it nowhere else."""
    gpu_count: int
    vram_mib: int
    vcpus: int
    memory_gib: int
    storage_gib: int
    cents_per_hour: int
    listed_cents: int
    """The price it began with, around which it moves."""
    stock: dict[str, int] = field(default_factory=dict)

    @property
    def architecture(self) -> str:
        """``arm64`` on Grace, ``x86_64`` on all else."""
        return "arm64" if "gh200" in self.name else "x86_64"


class TypeBook:
    """All types and how their stocks and prices move."""

    def __init__(self, types: Iterable[InstanceType], *, seed: int, steps: Steps) -> None:
        self._random = random.Random(f"lambda-{seed}")  # noqa: S311 - reproducible on purpose
        self._steps = steps
        self._types = {kind.name: kind for kind in types}
        for kind in self._types.values():
            regions = self._random.sample(sorted(REGIONS), k=self._random.randrange(2, 7))
            kind.stock = {region: self._random.randrange(1, 4) for region in regions}

    def all(self, at: datetime) -> dict[str, InstanceType]:
        """Return every type by name, as of this moment."""
        for _ in range(self._steps.due(at)):
            self._step()
        return self._types

    def _step(self) -> None:
        """Let one region of each type gain or lose a machine now and then, and rarely move a price by 5 %."""
        for kind in self._types.values():
            if self._random.random() < 1 / 4:
                region = self._random.choice(sorted(REGIONS))
                change = self._random.choice((-1, 1))
                kind.stock[region] = min(_MOST_IN_STOCK, max(0, kind.stock.get(region, 0) + change))
            if self._random.random() < 1 / 50:
                moved = kind.cents_per_hour * self._random.choice((95, 105)) // 100
                if abs(moved - kind.listed_cents) * 10 <= kind.listed_cents * 2:
                    kind.cents_per_hour = moved


def built_in_types() -> list[InstanceType]:
    """Return the types that are here without any file."""
    return [_type(line.strip()) for line in _BUILT_IN.strip().splitlines()]


def read_types(path: Path) -> list[InstanceType]:
    """Read ``instance_type,gpu,gpu_count,vcpus,memory_gib,vram_mib_per_gpu,usd_per_hour``."""
    known = {kind.name: kind for kind in built_in_types()}
    types = []
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            vram, cents = int(row["vram_mib_per_gpu"]), int(Decimal(row["usd_per_hour"]) * 100)
            twin = known.get(row["instance_type"])
            types.append(
                InstanceType(
                    name=row["instance_type"],
                    gpu_name=twin.gpu_name if twin else {"V100": "Tesla V100"}.get(row["gpu"], row["gpu"]),
                    gpu_description=f"{row['gpu']} ({round(vram / 1024)} GB)",
                    gpu_count=int(row["gpu_count"]),
                    vram_mib=vram,
                    vcpus=int(row["vcpus"]),
                    memory_gib=int(row["memory_gib"]),
                    storage_gib=twin.storage_gib if twin else 1024,
                    cents_per_hour=cents,
                    listed_cents=cents,
                )
            )
    return types


def _type(line: str) -> InstanceType:
    name, gpu_name, rest = line.split(maxsplit=2)
    description, _, figures = rest.partition(")")
    vram, vcpus, memory, storage, cents = map(int, figures.split())
    return InstanceType(
        name=name,
        gpu_name=gpu_name.replace("_", " "),
        gpu_description=description + ")",
        gpu_count=int(name.split("_")[1].removesuffix("x")),
        vram_mib=vram,
        vcpus=vcpus,
        memory_gib=memory,
        storage_gib=storage,
        cents_per_hour=cents,
        listed_cents=cents,
    )
