"""What Modal rents out: GPUs by string, at prices per second, with CPU and memory on top."""

from __future__ import annotations

from dataclasses import dataclass

from app.kit.money import MICROS_PER_DOLLAR, SECONDS_PER_HOUR

CPU_MICROS_PER_CORE_HOUR = 141_480
MEMORY_MICROS_PER_GIB_HOUR = 23_976
_PER_SECOND_DIGITS = 10
_MIB_PER_GIB = 1024
_MILLI = 1000
_STOCK = 24


@dataclass(eq=False, slots=True)
class GpuKind:
    """One GPU string."""

    name: str
    gpu_name: str
    vram_mib: int
    micros_per_second: int
    count_max: int = 8
    stock: int = _STOCK
    """How many more sandboxes can be had."""

    @property
    def micros_per_hour(self) -> int:
        """The price of one."""
        return self.micros_per_second * SECONDS_PER_HOUR


def built_in_kinds() -> dict[str, GpuKind]:
    """Return every GPU string with what stands behind it."""
    kinds = [
        GpuKind("T4", "T4", 15_360, 164),
        GpuKind("L4", "L4", 23_034, 222),
        GpuKind("A10", "A10", 23_028, 306, count_max=4),
        GpuKind("L40S", "L40S", 46_068, 542),
        GpuKind("A100-40GB", "A100 SXM4", 40_960, 583),
        GpuKind("A100-80GB", "A100 SXM4", 81_920, 694),
        GpuKind("RTX-PRO-6000", "RTX PRO 6000 S", 97_887, 842),
        GpuKind("H100", "H100 SXM", 81_559, 1_097),
        GpuKind("H100!", "H100 SXM", 81_559, 1_097),
        GpuKind("H200", "H200", 143_771, 1_261),
        GpuKind("B200", "B200", 183_359, 1_736),
        GpuKind("B200+", "B200", 183_359, 1_736),
    ]
    return {kind.name: kind for kind in kinds}


def shape_micros_per_hour(*, milli_cpu: int, memory_mb: int) -> int:
    """Return what the CPU and memory of a request cost, rounded up."""
    cpu = -(-milli_cpu * CPU_MICROS_PER_CORE_HOUR // _MILLI)
    return cpu - (-memory_mb * MEMORY_MICROS_PER_GIB_HOUR // _MIB_PER_GIB)


def rates(kinds: dict[str, GpuKind]) -> dict[str, str]:
    """Return the workspace's rates as the wire tells them: dollars per second, as decimal strings."""
    told = {kind.name: per_second(kind.micros_per_hour) for kind in kinds.values() if kind.name[-1] not in "!+"}
    return told | {
        "Sandbox CPU": per_second(CPU_MICROS_PER_CORE_HOUR),
        "Sandbox Memory": per_second(MEMORY_MICROS_PER_GIB_HOUR),
    }


def per_second(micros_per_hour: int) -> str:
    """Return an hourly price as dollars per second."""
    units = micros_per_hour * 10**_PER_SECOND_DIGITS // (SECONDS_PER_HOUR * MICROS_PER_DOLLAR)
    return f"0.{units:0{_PER_SECOND_DIGITS}d}"
