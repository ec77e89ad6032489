"""What a key may spend, as it is stored."""

from __future__ import annotations

from typing import Literal, cast

from app.web.principal import SpendLimit

Reset = Literal["daily", "weekly", "monthly"]


def limit_of(micros: int | None, reset: str | None) -> SpendLimit | None:
    """Return a key's limit, or None where it has none."""
    return None if micros is None else SpendLimit(micros, cast("Reset | None", reset))
