"""A field of a policy's terms as it is told: in the names and units of the wire. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from app.kit.money import dollars

_PPM = 1_000_000


def told_name(field: str) -> str:
    """Return what a field of ``Terms`` is called outside."""
    return field.replace("_micros", "").removesuffix("_ppm")


def told_value(field: str, value: Any) -> Any:  # noqa: ANN401 - a field of Terms
    """Return a field's value as it is shown: dollars as text, parts of 1, lists of names."""
    if value is None:
        return None
    if "_micros" in field:
        return dollars(value)
    if field.endswith("_ppm"):
        return float(Decimal(value) / _PPM)
    return list(value) if isinstance(value, tuple | list) else value
