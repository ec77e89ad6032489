"""What RunPod has: GPU types, how many are free in each data centre of both clouds, and prices that move."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from app.sandbox.world import Steps

CLOUDS = ("SECURE", "COMMUNITY")
DATA_CENTERS = {
    "US-KS-2": ("US Kansas 2", "NORTH_AMERICA"),
    "US-TX-3": ("US Texas 3", "NORTH_AMERICA"),
    "US-GA-2": ("US Georgia 2", "NORTH_AMERICA"),
    "US-CA-2": ("US California 2", "NORTH_AMERICA"),
    "CA-MTL-1": ("Canada Montreal 1", "NORTH_AMERICA"),
    "CA-MTL-3": ("Canada Montreal 3", "NORTH_AMERICA"),
    "EU-RO-1": ("EU Romania 1", "EUROPE"),
    "EU-SE-1": ("EU Sweden 1", "EUROPE"),
    "EU-CZ-1": ("EU Czech Republic 1", "EUROPE"),
    "EU-NL-1": ("EU Netherlands 1", "EUROPE"),
    "EUR-IS-1": ("Europe Iceland 1", "EUROPE"),
    "EUR-NO-1": ("Europe Norway 1", "EUROPE"),
    "OC-AU-1": ("Oceania Australia 1", "OCEANIA"),
    "AP-JP-1": ("Asia Pacific Japan 1", "ASIA"),
}
_MOST_FREE = 24
_CUDA_VERSIONS = ("13.0", "12.8", "12.8", "12.8", "12.4")

_BUILT_IN = """
NVIDIA GeForce RTX 3090                          RTX 3090      AMPERE_24    24   24576   0.46 0.22  8 4
NVIDIA GeForce RTX 4090                          RTX 4090      ADA_24       24   24564   0.69 0.34  8 4
NVIDIA GeForce RTX 5090                          RTX 5090      ADA_32_PRO   32   32607   0.94 0.69  8 4
NVIDIA RTX A6000                                 RTX A6000     AMPERE_48    48   49140   0.49 0.33  8 4
NVIDIA A40                                       A40           AMPERE_48    48   46068   0.44 0     8 0
NVIDIA RTX 6000 Ada Generation                   RTX 6000 Ada  ADA_48_PRO   48   49140   0.77 0.74  8 4
NVIDIA RTX PRO 6000 Blackwell Server Edition     RTX PRO 6000  BLACKWELL_96 96   97887   1.79 0.89  8 2
NVIDIA L4                                        L4            AMPERE_24    24   23034   0.43 0.44  8 2
NVIDIA L40                                       L40           ADA_48_PRO   48   46068   0.99 0.69  8 4
NVIDIA L40S                                      L40S          ADA_48_PRO   48   46068   0.86 0.79  8 4
NVIDIA A100 80GB PCIe                            A100 PCIe     AMPERE_80    80   81920   1.59 1.19  8 4
NVIDIA A100-SXM4-80GB                            A100 SXM      AMPERE_80    80   81920   1.79 1.39  8 4
NVIDIA H100 PCIe                                 H100 PCIe     ADA_80_PRO   80   81559   2.89 1.99  8 2
NVIDIA H100 80GB HBM3                            H100 SXM      ADA_80_PRO   80   81559   3.99 2.69  8 4
NVIDIA H100 NVL                                  H100 NVL      ADA_80_PRO   94   95830   3.19 2.59  8 2
NVIDIA H200                                      H200 SXM      ADA_141      141  143771  4.59 3.59  8 2
NVIDIA B200                                      B200          BLACKWELL_180 180 183359  6.79 5.98  8 2
NVIDIA B300 SXM6 AC                              B300          BLACKWELL_288 288 275040  7.89 6.94  8 1
"""


@dataclass(eq=False, slots=True)
class Shelf:
    """The GPUs of one type in one data centre of one cloud."""

    data_center: str
    free: int
    cuda_version: str

    def level(self, count: int) -> str:
        """Return the word for how likely a pod with so many is to be had."""
        if self.free < count:
            return "NONE"
        return "LOW" if self.free < 2 * count else "MEDIUM" if self.free < 4 * count else "HIGH"


@dataclass(eq=False, slots=True)
class GpuType:
    """One type, with its prices per GPU and hour, and the largest machines, by cloud."""

    id: str
    """Also the driver's own name."""
    name: str
    pool: str
    memory_gb: int
    vram_mib: int
    micros_per_hour: dict[str, int]
    listed_micros: dict[str, int]
    """The prices it began with, around which they move."""
    max_count: dict[str, int]
    shelves: dict[str, list[Shelf]] = field(default_factory=dict)

    def shelf(self, cloud: str, data_center: str) -> Shelf | None:
        """Return what one data centre has of it."""
        return next((each for each in self.shelves.get(cloud, ()) if each.data_center == data_center), None)


class GpuBook:
    """All types and how their stocks and prices move."""

    def __init__(self, types: Iterable[GpuType], *, seed: int, steps: Steps) -> None:
        self._random = random.Random(f"runpod-{seed}")  # noqa: S311 - reproducible on purpose
        self._steps = steps
        self._types = {kind.id: kind for kind in types}
        for kind in self._types.values():
            kind.shelves = {cloud: self._shelves(kind.max_count[cloud]) for cloud in CLOUDS}

    def all(self, at: datetime) -> dict[str, GpuType]:
        """Return every type by id, as of this moment."""
        for _ in range(self._steps.due(at)):
            self._step()
        return self._types

    def _shelves(self, ceiling: int) -> list[Shelf]:
        if not ceiling:
            return []
        places = self._random.sample(sorted(DATA_CENTERS), k=self._random.randrange(3, 7))
        shelves = [
            Shelf(place, self._random.randrange(0, _MOST_FREE + 1), self._random.choice(_CUDA_VERSIONS))
            for place in places
        ]
        shelves[0].free, shelves[0].cuda_version = 2 * ceiling, "12.8"  # one place always has some at the start
        return shelves

    def _step(self) -> None:
        """Let one place of each type gain or lose GPUs now and then, and rarely move a price by 5 %."""
        for kind in self._types.values():
            cloud = self._random.choice([cloud for cloud in CLOUDS if kind.shelves[cloud]])
            if self._random.random() < 1 / 4:
                shelf = self._random.choice(kind.shelves[cloud])
                shelf.free = min(_MOST_FREE, max(0, shelf.free + self._random.choice((-2, -1, 1, 2))))
            if self._random.random() < 1 / 50:
                moved = kind.micros_per_hour[cloud] * self._random.choice((95, 105)) // 100
                if abs(moved - kind.listed_micros[cloud]) * 10 <= kind.listed_micros[cloud] * 2:
                    kind.micros_per_hour[cloud] = moved


def built_in_types() -> list[GpuType]:
    """Return the types that are here without any file."""
    return list(_types(_BUILT_IN.strip().splitlines()))


def _types(lines: Iterable[str]) -> Iterator[GpuType]:
    """Read lines: id (49 columns), name (14), then pool, GB, MiB, dollars and largest machines of both clouds."""
    for line in lines:
        pool, memory, vram, *figures = line[63:].split()
        prices = {cloud: _micros(dollars) for cloud, dollars in zip(CLOUDS, figures[:2], strict=True)}
        yield GpuType(
            id=line[:49].strip(),
            name=line[49:63].strip(),
            pool=pool,
            memory_gb=int(memory),
            vram_mib=int(vram),
            micros_per_hour=prices,
            listed_micros=dict(prices),
            max_count={cloud: int(most) for cloud, most in zip(CLOUDS, figures[2:], strict=True)},
        )


def _micros(dollars: str) -> int:
    whole, _, cents = dollars.partition(".")
    return int(whole) * 1_000_000 + int(cents.ljust(2, "0") or 0) * 10_000
