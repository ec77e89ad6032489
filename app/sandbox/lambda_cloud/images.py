"""Lambda's machine images: one of each family for each architecture and region."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from functools import cache
from typing import Any

from app.sandbox.lambda_cloud.instances import region_row
from app.sandbox.lambda_cloud.market import REGIONS

_FAMILIES = {
    "lambda-stack-24-04": ("Lambda Stack 24.04", ("x86_64", "arm64")),
    "lambda-stack-22-04": ("Lambda Stack 22.04", ("x86_64", "arm64")),
    "ubuntu-24-04": ("Ubuntu 24.04", ("x86_64",)),
    "ubuntu-22-04": ("Ubuntu 22.04", ("x86_64",)),
}


@cache
def image_rows() -> tuple[dict[str, Any], ...]:
    """Return every image as the wire shows it."""
    return tuple(
        {
            "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{family}/{architecture}/{region}")),
            "created_time": "2026-02-03T14:00:00+00:00",
            "updated_time": "2026-08-04T09:30:00+00:00",
            "name": title,
            "description": f"{title} ({architecture})",
            "family": family,
            "version": "2.5.2",
            "architecture": architecture,
            "region": region_row(region),
        }
        for family, (title, architectures) in _FAMILIES.items()
        for architecture in architectures
        for region in REGIONS
    )


def find_image(wanted: Mapping[str, Any], *, architecture: str, region: str) -> dict[str, Any] | None:
    """Return the image named by ``id`` or ``family`` that such a machine in such a region can run."""
    for image in image_rows():
        named = image["id"] == wanted.get("id") or image["family"] == wanted.get("family")
        if named and image["architecture"] == architecture and image["region"]["name"] == region:
            return image
    return None
