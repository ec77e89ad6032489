"""Modules that take seconds to import, imported by the one process of many that comes to use them."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class LateModule:
    """Stands for a module, which is imported when something of it is first asked for.

    Collecting tests asks every name of a test's module for its wrappers; those are this object's own.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("_", "pytest")):
            raise AttributeError(name)
        return getattr(import_module(self._name), name)
