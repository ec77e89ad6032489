"""GPU families: the model lines that we sell, what people and clouds call them, and what the hardware can do.

Figures are dense (without sparsity), FP16 with FP32 accumulation, from the vendors' datasheets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from app.catalog.gpu_names import read_gpu_name

MIB_PER_GB = 1024
"""Vendors count a GPU's memory in binary gigabytes."""
VRAM_TOLERANCE_PERCENT = 8
"""Clouds and drivers report usable or nominal memory, with or without ECC; never compared for equality."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """What one GPU of a form can do."""

    bandwidth_gb_per_second: int
    fp16_tflops: int
    fp8_tflops: int | None = None
    """None where the tensor cores have no FP8."""


@dataclass(frozen=True, slots=True)
class Family:
    """One GPU model line with one memory size."""

    slug: str
    name: str
    """The line's name without memory, such as ``H100``."""
    vram_gb: int
    architecture: str
    aliases: tuple[str, ...]
    """Keys as ``read_gpu_name`` makes them. Families of one line share theirs; the first in the table is the default."""
    forms: Mapping[str, Hardware]
    """Interconnect (``sxm``, ``pcie``, ``nvl``) → hardware."""
    cpu: str = "x86_64"

    @property
    def title(self) -> str:
        """The family's name with memory, such as ``H100 80GB``."""
        return f"{self.name} {self.vram_gb}GB"

    @property
    def interconnects(self) -> tuple[str, ...]:
        """The forms in which this family is built."""
        return tuple(self.forms)

    @property
    def runs_usual_images(self) -> bool:
        """Whether CUDA images for x86-64 run on it. Others are rented only by name, never for their memory size alone."""
        return self.cpu == "x86_64" and self.architecture != "cdna"

    def model(self, interconnect: str | None) -> str:
        """Return the model's full name, such as ``H100 SXM 80GB``; the form is told where the family has several."""
        if interconnect is None or len(self.forms) == 1:
            return self.title
        form = {"pcie": "PCIe"}.get(interconnect, interconnect.upper())
        return f"{self.name} {form} {self.vram_gb}GB"

    def hardware(self, interconnect: str | None) -> Hardware:
        """Return the figures of a form, or of the slowest form where it is not known."""
        known = self.forms.get(interconnect or "")
        return known or min(self.forms.values(), key=lambda form: form.bandwidth_gb_per_second)

    def has_vram(self, vram_mib: int) -> bool:
        """Return whether a reported memory size, per GPU, is this family's within the tolerance."""
        nominal = self.vram_gb * MIB_PER_GB
        return abs(vram_mib - nominal) * 100 <= nominal * VRAM_TOLERANCE_PERCENT


@dataclass(frozen=True, slots=True)
class FamilyMatch:
    """A family and the form in which it was named."""

    family: Family
    interconnect: str | None


def find_family(text: str) -> Family | None:
    """Return the family that a person means: a slug or any usual name, in any case and punctuation.

    Where a line has several memory sizes and the text names none, the usual one is meant: ``a100`` is 80 GB.
    """
    match = _match(text, vram_mib=None)
    return match.family if match else None


def match_family(gpu_name: str, vram_mib: int) -> FamilyMatch | None:
    """Return the family of a GPU as a cloud or ``nvidia-smi`` names it, or None where we do not sell it.

    ``vram_mib`` is per GPU. Name and memory must agree: an RTX 4090 rebuilt with 48 GB is no RTX 4090.
    """
    return _match(gpu_name, vram_mib=vram_mib)


def families_with_vram(min_vram_gb: int) -> tuple[Family, ...]:
    """Return the families with at least so much memory per GPU on which the usual images run."""
    return tuple(family for family in FAMILIES if family.vram_gb >= min_vram_gb and family.runs_usual_images)


def get_family(slug: str) -> Family:
    """Return a family by its canonical slug.

    Raises:
        KeyError: no such slug.
    """
    return FAMILY_BY_SLUG[slug]


def _match(text: str, *, vram_mib: int | None) -> FamilyMatch | None:
    name = read_gpu_name(text)
    for family in _BY_ALIAS.get(name.key, ()):
        form = name.form if name.form in family.forms else None
        if name.form is not None and form is None:
            continue
        if name.memory_gb is not None and not family.has_vram(name.memory_gb * MIB_PER_GB):
            continue
        if vram_mib is not None and not family.has_vram(vram_mib):
            continue
        if form is None and len(family.forms) == 1:
            form = family.interconnects[0]
        if form is None and name.likely_form in family.forms:
            form = name.likely_form
        return FamilyMatch(family, form)
    return None


def _card(
    slug: str, name: str, vram_gb: int, architecture: str, aliases: str, *, cpu: str = "x86_64", **forms: Hardware
) -> Family:
    return Family(slug, name, vram_gb, architecture, tuple(aliases.split()), MappingProxyType(forms), cpu)


_H = Hardware
_PRO_6000 = "rtxpro6000 pro6000 rtxpro6000s rtxpro6000ws rtxpro6000se rtxpro6000server rtxpro6000workstation"

FAMILIES: tuple[Family, ...] = (
    _card("rtx-3060", "RTX 3060", 12, "ampere", "rtx3060 3060", pcie=_H(360, 25)),
    _card("rtx-3060-ti", "RTX 3060 Ti", 8, "ampere", "rtx3060ti 3060ti", pcie=_H(448, 32)),
    _card("rtx-3070", "RTX 3070", 8, "ampere", "rtx3070 3070", pcie=_H(448, 40)),
    _card("rtx-3080", "RTX 3080", 10, "ampere", "rtx3080 3080", pcie=_H(760, 59)),
    _card("rtx-3090", "RTX 3090", 24, "ampere", "rtx3090 3090", pcie=_H(936, 71)),
    _card("rtx-4060-ti-16gb", "RTX 4060 Ti", 16, "ada", "rtx4060ti 4060ti", pcie=_H(288, 44, 88)),
    _card(
        "rtx-4070-ti-super",
        "RTX 4070 Ti Super",
        16,
        "ada",
        "rtx4070tisuper rtx4070sti 4070tisuper",
        pcie=_H(672, 88, 176),
    ),
    _card("rtx-4090", "RTX 4090", 24, "ada", "rtx4090 4090", pcie=_H(1008, 165, 330)),
    _card("rtx-5090", "RTX 5090", 32, "blackwell", "rtx5090 5090", pcie=_H(1792, 210, 419)),
    _card("a2000-6gb", "RTX A2000", 6, "ampere", "rtxa2000 a2000", pcie=_H(288, 31)),
    _card("a4000-16gb", "RTX A4000", 16, "ampere", "rtxa4000 a4000", pcie=_H(448, 76)),
    _card("a6000-48gb", "RTX A6000", 48, "ampere", "rtxa6000 a6000", pcie=_H(768, 155)),
    _card("rtx-6000-24gb", "RTX 6000", 24, "turing", "rtx6000", pcie=_H(672, 130)),
    _card("rtx-6000-ada-48gb", "RTX 6000 Ada", 48, "ada", "rtx6000ada 6000ada", pcie=_H(960, 364, 728)),
    _card("rtx-pro-6000-96gb", "RTX PRO 6000", 96, "blackwell", _PRO_6000, pcie=_H(1597, 500, 1000)),
    _card("t4", "T4", 16, "turing", "t4", pcie=_H(320, 65)),
    _card("v100-16gb", "V100", 16, "volta", "v100", sxm=_H(900, 125), pcie=_H(900, 112)),
    _card("v100-32gb", "V100", 32, "volta", "v100", sxm=_H(900, 125), pcie=_H(900, 112)),
    _card("a10", "A10", 24, "ampere", "a10", pcie=_H(600, 125)),
    _card("a40-48gb", "A40", 48, "ampere", "a40", pcie=_H(696, 150)),
    _card("l4", "L4", 24, "ada", "l4", pcie=_H(300, 121, 242)),
    _card("l40-48gb", "L40", 48, "ada", "l40", pcie=_H(864, 181, 362)),
    _card("l40s-48gb", "L40S", 48, "ada", "l40s", pcie=_H(864, 362, 733)),
    _card("a100-80gb", "A100", 80, "ampere", "a100", sxm=_H(2039, 312), pcie=_H(1935, 312)),
    _card("a100-40gb", "A100", 40, "ampere", "a100", sxm=_H(1555, 312), pcie=_H(1555, 312)),
    _card("h100-80gb", "H100", 80, "hopper", "h100", sxm=_H(3350, 989, 1979), pcie=_H(2000, 756, 1513)),
    _card("h100-nvl-94gb", "H100 NVL", 94, "hopper", "h100", nvl=_H(3900, 835, 1671)),
    _card("gh200-96gb", "GH200", 96, "hopper", "gh200", sxm=_H(4000, 989, 1979), cpu="arm64"),
    _card("h200-141gb", "H200", 141, "hopper", "h200", sxm=_H(4800, 989, 1979), nvl=_H(4800, 835, 1671)),
    _card("b200", "B200", 180, "blackwell", "b200", sxm=_H(7700, 2250, 4500)),
    _card("gb200-186gb", "GB200", 186, "blackwell", "gb200", nvl=_H(8000, 2500, 5000), cpu="arm64"),
    _card("b300", "B300", 288, "blackwell", "b300 b300pc", sxm=_H(8000, 2250, 4500)),
    _card("mi300x-192gb", "MI300X", 192, "cdna", "mi300x", pcie=_H(5300, 1307, 2614)),
    _card("mi355x-288gb", "MI355X", 288, "cdna", "mi355x", pcie=_H(8000, 2516, 5033)),
)

FAMILY_BY_SLUG: Mapping[str, Family] = MappingProxyType({family.slug: family for family in FAMILIES})

_BY_ALIAS: Mapping[str, tuple[Family, ...]] = MappingProxyType(
    {
        alias: tuple(family for family in FAMILIES if alias in family.aliases)
        for alias in {alias for family in FAMILIES for alias in family.aliases}
    }
)
