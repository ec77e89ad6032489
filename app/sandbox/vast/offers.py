"""Vast's offers: prices that move, capacity that is taken and comes back, and the shape they have on the wire."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from app.kit.money import from_price
from app.sandbox.answers import dollars_number
from app.sandbox.gpus import gpu_model
from app.sandbox.vast.market import Slab
from app.sandbox.world import Steps

HOURS_PER_MONTH = 720
_BID_SHARE = Decimal("0.55")
_DAY_SECONDS = 86_400


@dataclass(eq=False, slots=True)
class Offer:
    """One ask. ``taken_by`` is the contract that holds it, ``withdrawn`` hides it for any other reason."""

    id: int
    slab: Slab
    facts: dict[str, Any]
    """Fields of the wire that never change."""
    listed_micros: int
    """The price it began with, around which it moves."""
    base_micros: int
    """The GPU part per hour now."""
    min_bid_micros: int
    storage_micros_per_gb_month: int
    taken_by: str | None = None
    withdrawn: bool = False

    @property
    def rentable(self) -> bool:
        """Whether it can be had."""
        return self.taken_by is None and not self.withdrawn

    def disk_micros_per_hour(self, disk_gb: Decimal) -> int:
        """Return what so much disk costs per hour."""
        return int(disk_gb * self.storage_micros_per_gb_month / HOURS_PER_MONTH)

    def reprice(self, factor: Decimal) -> None:
        """Multiply both prices."""
        self.base_micros = max(1, int(self.base_micros * factor))
        self.min_bid_micros = max(1, int(self.min_bid_micros * factor))

    def give_back(self) -> None:
        """Put it on the market again."""
        self.taken_by = None


class OfferBook:
    """All offers and how their prices move."""

    def __init__(self, slabs: Iterable[Slab], *, seed: int, steps: Steps) -> None:
        self._random = random.Random(f"vast-{seed}")  # noqa: S311 - reproducible on purpose
        self._steps = steps
        self._next_id = self._random.randrange(10_000_000, 12_000_000)
        self._offers: dict[int, Offer] = {}
        for slab in slabs:
            offer = self._new_offer(slab)
            self._offers[offer.id] = offer

    def all(self, at: datetime) -> list[Offer]:
        """Return every offer, free or not, at its price of this moment."""
        for _ in range(self._steps.due(at)):
            self._step()
        return list(self._offers.values())

    def find(self, offer_id: int, at: datetime) -> Offer | None:
        """Return an offer, free or not."""
        self.all(at)
        return self._offers.get(offer_id)

    def _step(self) -> None:
        """Move about a third of the prices by up to 3 %, within 30 % of where they began."""
        for offer in self._offers.values():
            if self._random.random() < 1 / 3:
                factor = Decimal(1) + Decimal(self._random.randint(-30, 30)) / 1000
                moved = offer.base_micros * factor
                if abs(moved - offer.listed_micros) <= offer.listed_micros * Decimal("0.3"):
                    offer.reprice(factor)

    def _new_offer(self, slab: Slab) -> Offer:
        self._next_id += self._random.randrange(1, 900)
        base = from_price(slab.dph)
        return Offer(
            id=self._next_id,
            slab=slab,
            facts=_facts(slab, self._random),
            listed_micros=base,
            base_micros=base,
            min_bid_micros=int(base * _BID_SHARE),
            storage_micros_per_gb_month=self._random.choice((100_000, 150_000, 200_000)),
        )


def offer_row(offer: Offer, *, bid: bool, disk_gb: Decimal, at: datetime) -> dict[str, Any]:
    """Return an offer as the wire shows it, for a kind of rental and an amount of disk."""
    base = offer.min_bid_micros if bid else offer.base_micros
    disk = offer.disk_micros_per_hour(disk_gb)
    total, now = base + disk, int(at.timestamp())
    search = {
        "gpuCostPerHour": dollars_number(base),
        "diskHour": dollars_number(disk),
        "totalHour": dollars_number(total),
        "discountTotalHour": 0,
        "discountedTotalPerHour": dollars_number(total),
    }
    flops = offer.facts["total_flops"]
    return {
        "id": offer.id,
        "ask_contract_id": offer.id,
        **offer.facts,
        "dph_base": dollars_number(base),
        "dph_total": dollars_number(total),
        "discounted_dph_total": dollars_number(total),
        "min_bid": dollars_number(offer.min_bid_micros),
        "storage_cost": dollars_number(offer.storage_micros_per_gb_month),
        "storage_total_cost": dollars_number(disk),
        "rentable": offer.rentable,
        "rented": offer.taken_by is not None,
        "is_bid": bid,
        "start_date": now - 30 * _DAY_SECONDS,
        "end_date": now + offer.facts["duration"],
        "flops_per_dphtotal": round(flops / dollars_number(total), 3),
        "dlperf_per_dphtotal": round(offer.facts["dlperf"] / dollars_number(total), 3),
        "search": search,
        "instance": search,
    }


def _facts(slab: Slab, chance: random.Random) -> dict[str, Any]:
    """Return what a host tells of itself, drawn from the seed."""
    model = gpu_model(slab.gpu_name, slab.vram_mib)
    sxm = "SXM" in slab.gpu_name or slab.gpu_name in {"H200", "B200", "B300"}
    reliability = Decimal(slab.reliability)
    flops = Decimal(model.tflops * slab.num_gpus)
    return {
        **_ids(slab, chance),
        "gpu_name": slab.gpu_name,
        "num_gpus": slab.num_gpus,
        "gpu_ram": slab.vram_mib,
        "gpu_total_ram": slab.vram_mib * slab.num_gpus,
        "gpu_frac": 1,
        "gpu_mem_bw": Decimal(model.bandwidth_gb_per_second),
        "gpu_arch": "nvidia",
        "gpu_display_active": False,
        "gpu_lanes": 16,
        "compute_cap": model.compute_capability,
        "total_flops": flops,
        "dlperf": flops * Decimal("1.7"),
        "score": flops * 2 / from_price(slab.dph) * 1_000_000,
        "bw_nvlink": Decimal(450 if sxm else 0),
        "pci_gen": Decimal(4),
        "pcie_bw": Decimal(str(chance.choice((12.1, 24.3, 25.0)))),
        **_host_facts(chance),
        "geolocation": slab.geolocation,
        "reliability": reliability,
        "reliability2": reliability,
        "verification": slab.verification,
        "verified": slab.verification == "verified",
        "direct_port_count": slab.direct_ports,
        "static_ip": slab.direct_ports > 0,
        "duration": chance.randrange(5, 90) * _DAY_SECONDS,
        "hosting_type": 1 if sxm else 0,
        "datacenter": sxm,
    }


def _ids(slab: Slab, chance: random.Random) -> dict[str, Any]:
    host = chance.randrange(1_000, 400_000)
    return {
        "machine_id": chance.randrange(2_000, 60_000),
        "host_id": host,
        "hostname": None,
        "bundle_id": chance.randrange(10**8, 10**9),
        "public_ipaddr": f"203.0.113.{host % 254 + 1}",
        "logo": "/static/logos/vastai_small2.png",
        "webpage": None,
        "num_gpus_total": slab.num_gpus,
    }


def _host_facts(chance: random.Random) -> dict[str, Any]:
    """Return what is so whatever GPUs the machine has."""
    cores = chance.choice((16, 24, 32, 48, 64, 128))
    return {
        "cpu_name": "AMD EPYC 7763 64-Core Processor",
        "cpu_arch": "amd64",
        "cpu_ghz": Decimal("2.5"),
        "has_avx": 1,
        "cpu_cores": cores,
        "cpu_cores_effective": Decimal(cores),
        "cpu_ram": cores * 4096,
        "disk_space": Decimal(chance.choice((200, 500, 900, 2000))),
        "disk_bw": Decimal(chance.randrange(900, 6000)),
        "disk_name": "nvme",
        "inet_down": Decimal(chance.randrange(300, 8000)),
        "inet_up": Decimal(chance.randrange(200, 6000)),
        "inet_down_cost": Decimal("0.002"),
        "inet_up_cost": Decimal("0.004"),
        "cuda_max_good": Decimal("12.8"),
        "driver_version": "550.127.05",
        "driver_vers": 550127005,
        "external": False,
        "vms_enabled": False,
        "os_version": "22.04",
        "ubuntu_version": "22.04",
        "mobo_name": "H12SSL-i",
        "cluster_id": None,
    }
