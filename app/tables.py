"""Every table of every room, so that migrations can be compared with the models."""

from __future__ import annotations

from app.kit.orm import Base

metadata = Base.metadata

__all__ = ["metadata"]
