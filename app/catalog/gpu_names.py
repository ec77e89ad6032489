"""Reading a GPU's name: what is the line, what is the form, what is the memory, and what is only a maker's word."""

from __future__ import annotations

import functools
import re
import unicodedata
from dataclasses import dataclass

_TOKEN = re.compile(r"[^\W_]+")
_SPACED_MEMORY = re.compile(r"(?<![^\W_])(\d{1,4}) +(?:gib|gb)(?![^\W_])")
_MEMORY = re.compile(r"(\d{1,4})(?:gib|gb|g)", re.ASCII)
_FORM = re.compile(r"(sxm|pcie|nvl)\d{0,2}", re.ASCII)
_GLUED_FORM = re.compile(r"(.*\d.*?)((?:sxm|pcie|nvl)\d{0,2})", re.ASCII)
_SXM_MEMORY = frozenset({"hbm3", "hbm3e"})
_HOST_MEMORY = frozenset({("gh200", 480)})
_MAKERS = frozenset({"nvidia", "geforce", "tesla", "quadro", "amd", "instinct"})
_NOISE = _MAKERS | {"gpu", "tensor", "core", "generation", "edition", "blackwell", "ac", "nvlink", "hbm2", "hbm2e"}


@dataclass(frozen=True, slots=True)
class GpuName:
    """A name taken apart."""

    key: str
    """What is left of the line's name: lower case, letters and digits only, such as ``rtx4090``."""
    form: str | None
    """``sxm``, ``pcie`` or ``nvl`` where the name says so."""
    likely_form: str | None
    """The form which the kind of memory suggests: only modules carry HBM3 by that name."""
    memory_gb: int | None
    """Where the name says so."""


@functools.lru_cache(maxsize=2048)
def read_gpu_name(text: str) -> GpuName:
    """Take apart a name in any case and punctuation: ``RTX_4090``, ``H100-80G-PCIe``, ``NVIDIA H100 80GB HBM3``."""
    plain = _SPACED_MEMORY.sub(r"\1gb", unicodedata.normalize("NFKC", text).casefold())
    line: list[str] = []
    form: str | None = None
    likely: str | None = None
    memory: int | None = None
    for token in _TOKEN.findall(plain):
        word = token
        if glued := _GLUED_FORM.fullmatch(word):
            word, form = glued[1], _FORM.sub(r"\1", glued[2])
        if found := _FORM.fullmatch(word):
            form = found[1]
        elif found := _MEMORY.fullmatch(word):
            memory = int(found[1])
        elif word in _SXM_MEMORY:
            likely = "sxm"
        elif word not in _NOISE:
            line.append(word)
    key = "".join(line)
    if (key, memory) in _HOST_MEMORY:  # the driver names this one by its processor's memory
        memory = None
    return GpuName(key, form, likely, memory)
