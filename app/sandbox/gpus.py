"""GPUs as the driver names them, by the names the clouds use."""

from __future__ import annotations

from dataclasses import dataclass

from app.sandbox.nvidia_smi import GpuFacts

_GEFORCE = "NVIDIA GeForce "


@dataclass(frozen=True, slots=True)
class GpuModel:
    """A model's own facts, whoever rents it out."""

    driver_name: str
    compute_capability: int
    """890 means 8.9."""
    bandwidth_gb_per_second: int
    tflops: int


_MODELS = {
    "RTX 3060": GpuModel(_GEFORCE + "RTX 3060", 860, 360, 13),
    "RTX 3070": GpuModel(_GEFORCE + "RTX 3070", 860, 448, 20),
    "RTX 3080": GpuModel(_GEFORCE + "RTX 3080", 860, 760, 30),
    "RTX 3090": GpuModel(_GEFORCE + "RTX 3090", 860, 936, 36),
    "RTX 4070S Ti": GpuModel(_GEFORCE + "RTX 4070 Ti SUPER", 890, 672, 44),
    "RTX 4090": GpuModel(_GEFORCE + "RTX 4090", 890, 1008, 83),
    "RTX 5090": GpuModel(_GEFORCE + "RTX 5090", 1200, 1792, 105),
    "RTX A2000": GpuModel("NVIDIA RTX A2000", 860, 288, 8),
    "RTX A6000": GpuModel("NVIDIA RTX A6000", 860, 768, 39),
    "RTX 6000Ada": GpuModel("NVIDIA RTX 6000 Ada Generation", 890, 960, 91),
    "RTX PRO 6000 WS": GpuModel("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", 1200, 1792, 126),
    "RTX PRO 6000 S": GpuModel("NVIDIA RTX PRO 6000 Blackwell Server Edition", 1200, 1597, 120),
    "A10": GpuModel("NVIDIA A10", 860, 600, 31),
    "A40": GpuModel("NVIDIA A40", 860, 696, 37),
    "L4": GpuModel("NVIDIA L4", 890, 300, 30),
    "L40": GpuModel("NVIDIA L40", 890, 864, 90),
    "L40S": GpuModel("NVIDIA L40S", 890, 864, 92),
    "A100 PCIE 40": GpuModel("NVIDIA A100-PCIE-40GB", 800, 1555, 78),
    "A100 PCIE": GpuModel("NVIDIA A100 80GB PCIe", 800, 1935, 78),
    "A100 SXM4 40": GpuModel("NVIDIA A100-SXM4-40GB", 800, 1555, 78),
    "A100 SXM4": GpuModel("NVIDIA A100-SXM4-80GB", 800, 2039, 78),
    "H100 PCIE": GpuModel("NVIDIA H100 PCIe", 900, 2000, 204),
    "H100 SXM": GpuModel("NVIDIA H100 80GB HBM3", 900, 3350, 268),
    "H100 NVL": GpuModel("NVIDIA H100 NVL", 900, 3900, 241),
    "GH200": GpuModel("NVIDIA GH200 480GB", 900, 4000, 268),
    "H200": GpuModel("NVIDIA H200", 900, 4800, 268),
    "H200 NVL": GpuModel("NVIDIA H200 NVL", 900, 4800, 241),
    "B200": GpuModel("NVIDIA B200", 1000, 7700, 296),
    "B300": GpuModel("NVIDIA B300 SXM6 AC", 1030, 8000, 296),
    "RTX 6000": GpuModel("Quadro RTX 6000", 750, 672, 33),
    "Tesla V100": GpuModel("Tesla V100-SXM2-16GB", 700, 900, 28),
}
_A100_40_MIB = 41_000


@dataclass(frozen=True, slots=True)
class Speed:
    """What one GPU really does."""

    gb_per_second: int
    gflops: int
    """In plain single precision, by a simple program."""


_UNKNOWN_SPEED = Speed(8_000, 20_000)
"""So that a sound machine is sound whatever its GPU is called."""


def gpu_model(name: str, vram_mib: int) -> GpuModel:
    """Return the model behind a cloud's name; 40 and 80 GB A100 share a name and are told apart by their memory."""
    if name.startswith("A100") and vram_mib < _A100_40_MIB:
        name += " 40"
    known = _MODELS.get(name)
    prefix = _GEFORCE if name.startswith("RTX") else "NVIDIA "
    return known or GpuModel(prefix + name, 800, 500, 20)


def speed_of(driver_name: str) -> Speed:
    """Return what a sound GPU of this name does: most of its bandwidth, a fifth of its best figure for sums."""
    models = (model for model in _MODELS.values() if model.driver_name == driver_name)
    model = next(models, None)
    return Speed(model.bandwidth_gb_per_second * 85 // 100, model.tflops * 200) if model else _UNKNOWN_SPEED


def gpu_facts(name: str, count: int, vram_mib: int) -> GpuFacts:
    """Return what a sound machine's driver tells of such GPUs."""
    return GpuFacts(gpu_model(name, vram_mib).driver_name, count, vram_mib)


def wrong_gpu_facts(ordered: GpuFacts, mode: str) -> GpuFacts:
    """Return what is delivered in place of what was ordered: another GPU, or with ``count`` another number of them."""
    if mode == "count":
        return GpuFacts(ordered.name, ordered.count - 1 or 2, ordered.vram_mib)
    if "3060" in ordered.name:
        return GpuFacts(_GEFORCE + "GTX 1080 Ti", ordered.count, 11264)
    return GpuFacts(_GEFORCE + "RTX 3060", ordered.count, 12288)
