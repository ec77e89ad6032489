"""Parameters whose turn comes with the long tests."""

from __future__ import annotations

from typing import Any

import pytest


def in_soak(*values: Any) -> list[Any]:
    """Return parameters that only `make soak` takes: ``[typical, *in_soak(others)]``."""
    return [pytest.param(value, marks=pytest.mark.soak) for value in values]
