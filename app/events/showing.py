"""How an event's data are shown outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.kit.money import dollars


def in_dollars(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is stored in micro-dollars as every amount is shown: without the unit in its name."""
    return {
        name.replace("_micros", ""): dollars(value) if "_micros" in name and isinstance(value, int) else value
        for name, value in data.items()
    }
