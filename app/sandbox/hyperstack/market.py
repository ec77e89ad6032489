"""What Hyperstack offers: flavors by region, a price for each kind of GPU, stocks that move."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from app.kit.money import from_price
from app.sandbox.answers import dollars_number
from app.sandbox.world import Steps

REGIONS = {"CANADA-1": ("CA", "Montreal, Canada"), "NORWAY-1": ("NO", "Oslo, Norway"), "US-1": ("US", "Texas, USA")}
ADDRESS_MICROS_PER_HOUR = 6_720
"""A public address."""
STORAGE_DOLLARS_PER_GB_HOUR = Decimal("0.000096774")
_DISK_GB = 100
_MOST_IN_STOCK = 12
_SPOT = "-spot"

_GPUS = """
RTX-A4000              RTX_A4000       16376   150000  -        -
RTX-A6000              RTX_A6000       49140   500000  hib      spot=400000
L40                    L40             46068  1000000  hib      spot=800000
RTX-PRO6000-SE         RTX_PRO_6000_S  97887  1850000  hib      spot=1480000
A100-80G-PCIe          A100_PCIE       81920  1350000  hib      spot=1080000
A100-80G-PCIe-NVLink   A100_PCIE       81920  1400000  hib      -
A100-80G-SXM4          A100_SXM4       81920  1600000  hib      -
H100-80G-PCIe          H100_PCIE       81559  2500000  hib      spot=2000000
H100-80G-PCIe-NVLink   H100_PCIE       81559  2600000  hib      -
H100-80G-SXM5          H100_SXM        81559  3200000  not-us   -
H200-141G-SXM5         H200           143771  3990000  hib      -
B200-SXM               B200           183359  6000000  -        -
"""
_FLAVORS = """
n3-RTX-A4000        RTX-A4000             1,2,4    4   21    0
n3-RTX-A6000        RTX-A6000             1,2,4,8  28  58    750
n3-L40              L40                   1,2,4,8  28  58    725
n3-RTX-PRO6000-SE   RTX-PRO6000-SE        1,2,4,8  28  180   1000
n3-A100             A100-80G-PCIe         1,2,4,8  28  120   750
n3-A100-NVLink      A100-80G-PCIe-NVLink  8        31  180   815
n3-A100-SXM4        A100-80G-SXM4         8        24  225   800
n3-H100             H100-80G-PCIe         1,2,4,8  28  180   750
n3-H100-NVLink      H100-80G-PCIe-NVLink  8        31  180   815
n3-H100-SXM5        H100-80G-SXM5         8        24  225   4000
n3-H200-SXM5        H200-141G-SXM5        8        24  225   4000
n3-B200-SXM         B200-SXM              8        26  250   3500
"""


@dataclass(eq=False, slots=True)
class GpuKind:
    """A kind of GPU as the price book names it; spot is a kind of its own."""

    name: str
    gpu_name: str
    vram_mib: int
    micros_per_hour: int
    listed_micros: int
    hibernates: frozenset[str]
    """In which regions."""

    @property
    def spot(self) -> bool:
        """Whether such a machine may be taken back."""
        return self.name.endswith(_SPOT)


@dataclass(eq=False, slots=True)
class Flavor:
    """One size of machine in one region. ``stock`` is how many more can be made."""

    id: int
    name: str
    region: str
    gpu: GpuKind
    gpu_count: int
    cpu: int
    ram: int
    ephemeral: int
    stock: int
    disk: int = _DISK_GB

    @property
    def hibernates(self) -> bool:
        """Whether its machines can."""
        return self.region in self.gpu.hibernates

    @property
    def micros_per_hour(self) -> int:
        """What such a machine costs, with its public address."""
        return self.gpu.micros_per_hour * self.gpu_count + ADDRESS_MICROS_PER_HOUR

    @property
    def hibernated_micros_per_hour(self) -> int:
        """What its root disk alone costs, rounded up."""
        return from_price(STORAGE_DOLLARS_PER_GB_HOUR * self.disk)


@dataclass(eq=False, slots=True)
class Market:
    """Kinds and flavors, moving with time."""

    kinds: dict[str, GpuKind]
    flavors: list[Flavor]
    chance: random.Random
    steps: Steps
    _by_name: dict[tuple[str, str], Flavor] = field(init=False)

    def __post_init__(self) -> None:
        self._by_name = {(flavor.name, flavor.region): flavor for flavor in self.flavors}

    def now(self, at: datetime) -> list[Flavor]:
        """Return every flavor as of this moment."""
        for _ in range(self.steps.due(at)):
            self._step()
        return self.flavors

    def find(self, name: str, region: str, at: datetime) -> Flavor | None:
        """Return one flavor as of this moment."""
        self.now(at)
        return self._by_name.get((name, region))

    def _step(self) -> None:
        """Let some flavors gain or lose a machine, and rarely move a price by 5 %."""
        for flavor in self.chance.sample(self.flavors, k=len(self.flavors) // 8):
            flavor.stock = min(_MOST_IN_STOCK, max(0, flavor.stock + self.chance.choice((-1, 1))))
        for kind in self.kinds.values():
            if self.chance.random() < 1 / 100:
                moved = kind.micros_per_hour * self.chance.choice((95, 105)) // 100
                if abs(moved - kind.listed_micros) * 10 <= kind.listed_micros * 2:
                    kind.micros_per_hour = moved


def built_in_market(*, seed: int, steps: Steps) -> Market:
    """Return the market that is here without any file."""
    chance = random.Random(f"hyperstack {seed}")  # noqa: S311 - reproducible on purpose
    kinds = {kind.name: kind for line in _lines(_GPUS) for kind in _kinds(line)}
    flavors = [flavor for line in _lines(_FLAVORS) for flavor in _flavors(line, kinds, chance)]
    for number, flavor in enumerate(flavors, start=1):
        flavor.id = number
    return Market(kinds, flavors, chance, steps)


def flavor_row(flavor: Flavor) -> dict[str, Any]:
    """Return a flavor as the wire shows it."""
    return {
        "id": flavor.id,
        "name": flavor.name,
        "display_name": None,
        "region_name": flavor.region,
        "cpu": flavor.cpu,
        "ram": Decimal(flavor.ram),
        "disk": flavor.disk,
        "ephemeral": flavor.ephemeral,
        "gpu": flavor.gpu.name,
        "gpu_count": flavor.gpu_count,
        "stock_available": flavor.stock > 0,
        "created_at": "2024-01-01T00:00:00",
        "labels": [],
        "features": features_of(flavor),
    }


def features_of(flavor: Flavor) -> dict[str, bool]:
    """Return what a flavor can and can't."""
    return {
        "network_optimised": flavor.gpu.name.startswith(("H100", "H200", "B200")),
        "no_hibernation": not flavor.hibernates,
        "no_snapshot": not flavor.hibernates,
        "local_storage_only": False,
    }


def flavor_groups(flavors: Iterable[Flavor]) -> list[dict[str, Any]]:
    """Return flavors in groups by GPU and region."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for flavor in flavors:
        groups.setdefault((flavor.gpu.name, flavor.region), []).append(flavor_row(flavor))
    cpu_only = {"id": 9001, "name": "n1-cpu-small", "region_name": "CANADA-1", "cpu": 4, "ram": Decimal(4), "disk": 100,
                "ephemeral": 0, "gpu": "", "gpu_count": 0, "stock_available": True, "created_at": "2024-01-01T00:00:00",
                "display_name": None, "labels": [], "features": {"no_hibernation": True}}  # fmt: skip
    groups["", "CANADA-1"] = [cpu_only]
    return [{"gpu": gpu, "region_name": region, "flavors": rows} for (gpu, region), rows in groups.items()]


def price_rows(kinds: Iterable[GpuKind]) -> list[dict[str, Any]]:
    """Return the price book."""
    prices = {kind.name: dollars_number(kind.micros_per_hour) for kind in kinds}
    prices |= {
        "Cloud-SSD": STORAGE_DOLLARS_PER_GB_HOUR,
        "Public-IP": dollars_number(ADDRESS_MICROS_PER_HOUR),
        "vCPU (cpu-only-flavors)": Decimal("0.0055"),
        "RAM (cpu-only-flavors)": Decimal("0.0015"),
    }
    return [
        {"id": number, "name": name, "value": price, "original_value": price, "discount_applied": False,
         "start_time": None, "end_time": None}
        for number, (name, price) in enumerate(prices.items(), start=1)
    ]  # fmt: skip


def stock_rows(flavors: Iterable[Flavor]) -> list[dict[str, Any]]:
    """Return the stocks by region and kind, each size with the machines left."""
    left: dict[str, dict[str, dict[str, int]]] = {region: {} for region in REGIONS}
    for flavor in flavors:
        sizes = left[flavor.region].setdefault(flavor.gpu.name, dict.fromkeys(("1x", "2x", "4x", "8x", "10x"), 0))
        sizes[f"{flavor.gpu_count}x"] = flavor.stock
    return [
        {"region": region, "stock-type": "GPU", "models": [_model_row(name, sizes) for name, sizes in models.items()]}
        for region, models in left.items()
    ]


def _model_row(name: str, sizes: dict[str, int]) -> dict[str, Any]:
    most = max(sizes.values())
    return {
        "model": name,
        "available": "10+" if most > 10 else str(most),  # noqa: PLR2004 - the wire's own words
        "configurations": sizes,
        "planned_7_days": "0",
        "planned_30_days": "0",
        "planned_100_days": "0",
    }


def _lines(table: str) -> list[list[str]]:
    return [line.split() for line in table.strip().splitlines()]


def _kinds(words: list[str]) -> list[GpuKind]:
    name, gpu_name, vram, price, hibernates, spot = words
    regions = {"hib": REGIONS.keys(), "not-us": REGIONS.keys() - {"US-1"}}.get(hibernates, set())
    kind = GpuKind(name, gpu_name.replace("_", " "), int(vram), int(price), int(price), frozenset(regions))
    if not spot.startswith("spot="):
        return [kind]
    cheaper = int(spot.removeprefix("spot="))
    return [kind, GpuKind(name + _SPOT, kind.gpu_name, kind.vram_mib, cheaper, cheaper, frozenset())]


def _flavors(words: list[str], kinds: dict[str, GpuKind], chance: random.Random) -> list[Flavor]:
    """Return a line's flavors in each size and region, on demand and by spot."""
    stem, gpu, counts, cpu, ram, ephemeral = words
    return [
        Flavor(
            id=0,
            name=f"{stem}x{count}{suffix}",
            region=region,
            gpu=kinds[gpu + suffix],
            gpu_count=count,
            cpu=int(cpu) * count,
            ram=int(ram) * count,
            ephemeral=int(ephemeral) * count,
            stock=chance.randrange(2, 9),
        )
        for suffix in ("", _SPOT)
        if gpu + suffix in kinds
        for count in map(int, counts.split(","))
        for region in REGIONS
    ]
