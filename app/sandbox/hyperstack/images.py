"""Hyperstack's machine images: the same in every region."""

from __future__ import annotations

from typing import Any

from app.sandbox.hyperstack.market import REGIONS

_NAMES = (
    "Ubuntu Server 20.04 LTS R535 CUDA 12.2",
    "Ubuntu Server 22.04 LTS",
    "Ubuntu Server 22.04 LTS R535 CUDA 12.2",
    "Ubuntu Server 22.04 LTS R535 CUDA 12.2 with Docker",
    "Ubuntu Server 22.04 LTS R570 CUDA 12.8",
    "Ubuntu Server 22.04 LTS R570 CUDA 12.8 with Docker",
    "Ubuntu Server 24.04 LTS R570 CUDA 12.8",
    "Ubuntu Server 24.04 LTS R570 CUDA 12.8 with Docker",
    "Debian Server 12",
)


def image_names(region: str) -> tuple[str, ...]:
    """Return the names that a region has."""
    return _NAMES if region in REGIONS else ()


def image_groups(region: str | None) -> list[dict[str, Any]]:
    """Return the images by region and system, as the wire groups them."""
    return [
        {"region_name": name, "type": system, "logo": "", "images": _rows(name, system, first=100 * number)}
        for number, name in enumerate(REGIONS, start=1)
        if region in {None, name}
        for system in ("Ubuntu", "Debian")
    ]


def _rows(region: str, system: str, *, first: int) -> list[dict[str, Any]]:
    return [
        {
            "id": first + number,
            "name": name,
            "region_name": region,
            "type": system,
            "version": name.removeprefix(f"{system} "),
            "size": 20_000_000_000,
            "display_size": "20.0 GB",
            "description": name,
            "is_public": True,
            "labels": [],
        }
        for number, name in enumerate(_NAMES)
        if name.startswith(system)
    ]
