"""RunPod's catalog: GPU types and data centres, with what is free when somebody asks for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from app.sandbox.answers import dollars_number
from app.sandbox.runpod.market import DATA_CENTERS, GpuType, Shelf
from app.sandbox.runpod.problems import broken_rule, invalid

_LEVELS = ("NONE", "LOW", "MEDIUM", "HIGH")
_ONLY_WITH_AVAILABILITY = ("product", "count", "cloud", "countryCodes", "cudaVersions", "minCudaVersion")
_PRODUCTS = frozenset({"POD", "CLUSTER", "SERVERLESS"})
_COUNTRY = re.compile(r"[A-Z]{2}", re.ASCII)
_VERSION = re.compile(r"\d+\.\d+", re.ASCII)
_FLOOR = re.compile(r"\d+(\.\d+)?", re.ASCII)
_ALIKE = {"EU", "EUR", "OC", "AP"}


@dataclass(frozen=True, slots=True)
class Question:
    """Which availability is asked for."""

    cloud: str
    count: int
    countries: frozenset[str]
    versions: frozenset[str]
    floor: tuple[int, ...]

    def shelves(self, kind: GpuType) -> list[Shelf]:
        """Return the places that offer a type as asked, whether any is free or not."""
        if self.count > kind.max_count[self.cloud]:
            return []
        return [shelf for shelf in kind.shelves[self.cloud] if self._fits(shelf)]

    def _fits(self, shelf: Shelf) -> bool:
        return (
            (not self.countries or country_of(shelf.data_center) in self.countries)
            and (not self.versions or shelf.cuda_version in self.versions)
            and version(shelf.cuda_version) >= self.floor
        )


def read_question(query: Mapping[str, str]) -> Question | None:
    """Read the query of the catalog; None where no availability is asked for.

    Raises:
        Refusal: 400 for parameters that don't go together, 422 for one that is none.
    """
    include = _words(query, "include")
    if any(word != "AVAILABILITY" for word in include):
        raise invalid("include: is not what the schema allows")
    if not include:
        alone = [name for name in _ONLY_WITH_AVAILABILITY if name in query]
        if alone:
            raise broken_rule(f"{alone[0]} is valid only with include=AVAILABILITY")
        return None
    checks: dict[str, Callable[[str], object]] = {
        "product": lambda word: word in _PRODUCTS,
        "count": lambda word: word.isdecimal() and int(word) >= 1,
        "cloud": lambda word: word in ("SECURE", "COMMUNITY"),
        "countryCodes": _COUNTRY.fullmatch,
        "cudaVersions": _VERSION.fullmatch,
        "minCudaVersion": _FLOOR.fullmatch,
    }
    for name, check in checks.items():
        if not all(check(word) for word in _words(query, name)):
            raise invalid(f"{name}: is not what the schema allows")
    if not _words(query, "product"):
        raise broken_rule("product is required with include=AVAILABILITY")
    if "cudaVersions" in query and "minCudaVersion" in query:
        raise broken_rule("cudaVersions and minCudaVersion are mutually exclusive")
    return Question(
        cloud=query.get("cloud", "SECURE"),
        count=int(query.get("count", "1")),
        countries=frozenset(_words(query, "countryCodes")),
        versions=frozenset(_words(query, "cudaVersions")),
        floor=version(query.get("minCudaVersion", "0")),
    )


def gpu_row(kind: GpuType, question: Question | None, *, drained: bool = False) -> dict[str, Any]:
    """Return a GPU type as the wire shows it; what is free stands there only when it was asked for."""
    row: dict[str, Any] = {
        "id": kind.id,
        "name": kind.name,
        "pool": kind.pool,
        "manufacturer": "NVIDIA",
        "memory": kind.memory_gb,
        "secure": kind.max_count["SECURE"] > 0,
        "community": kind.max_count["COMMUNITY"] > 0,
        "price": {cloud.lower(): dollars_number(micros) for cloud, micros in kind.micros_per_hour.items()},
        "maxCount": {cloud.lower(): most for cloud, most in kind.max_count.items()},
    }
    if question is None:
        return row
    shelves = question.shelves(kind)
    levels = ["NONE" if drained else shelf.level(question.count) for shelf in shelves]
    best = max(levels, key=_LEVELS.index, default="NONE")
    row["availability"] = best
    if best != "NONE":
        row["dataCenters"] = [
            {"id": shelf.data_center, "name": DATA_CENTERS[shelf.data_center][0], "availability": level}
            for shelf, level in zip(shelves, levels, strict=True)
        ]
    if shelves:
        row["cudaVersions"] = _cuda_rows(shelves, levels)
    return row


def data_center_row(data_center: str, types: Iterable[GpuType], *, with_gpus: bool) -> dict[str, Any]:
    """Return a data centre as the wire shows it."""
    name, region = DATA_CENTERS[data_center]
    row: dict[str, Any] = {
        "id": data_center,
        "name": name,
        "region": region,
        "globalNetwork": True,
        "networkVolumeTypes": ["STANDARD"],
        "compliance": ["SOC_2_TYPE_2"],
    }
    found = [(kind, shelf) for kind in types if (shelf := kind.shelf("SECURE", data_center))]
    if with_gpus and found:
        row["gpuAvailability"] = [
            {"id": kind.id, "name": kind.name, "availability": shelf.level(1)} for kind, shelf in found
        ]
    return row


def country_of(data_center: str) -> str:
    """Return the country of ``US-KS-2`` or ``EU-RO-1``."""
    first, second = data_center.split("-")[:2]
    return second if first in _ALIKE else first


def version(text: str) -> tuple[int, ...]:
    """Return ``12.8`` as numbers that compare."""
    return tuple(int(part) for part in text.split("."))


def _cuda_rows(shelves: list[Shelf], levels: list[str]) -> list[dict[str, object]]:
    free: dict[str, bool] = {}
    for shelf, level in zip(shelves, levels, strict=True):
        free[shelf.cuda_version] = free.get(shelf.cuda_version, False) or level != "NONE"
    return [{"version": each, "available": free[each]} for each in sorted(free, key=version, reverse=True)]


def _words(query: Mapping[str, str], name: str) -> list[str]:
    return [word for word in query.get(name, "").split(",") if word]
