"""What passes between the adapter and the SDK: plain values, none of the SDK's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Spec:
    """A sandbox to make."""

    name: str
    tags: Mapping[str, str]
    image: str
    build_lines: tuple[str, ...]
    command: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    gpu: str
    """With its count, such as ``H100!:2``."""
    cores: int
    ram_mib: int
    ports: tuple[int, ...]
    timeout_seconds: int


@dataclass(frozen=True, slots=True)
class Facts:
    """A sandbox as the SDK tells of it."""

    sandbox_id: str
    tags: Mapping[str, str]
    result: int
    """A ``GenericStatus``; 0 while it has not ended."""
    words: str = ""
    """What was said of its end."""
    tunnels: Mapping[int, tuple[str, int]] = field(default_factory=dict)
    """Port → where it is reached without TLS; empty until the container runs."""
    began: bool = False
    """Whether the container is known to have started, where the ways in are not told."""
    created_at: datetime | None = None
    timeout_seconds: int | None = None
    """After how long the cloud ends it, where it tells."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What the books say of a sandbox within a period."""

    dollars: Decimal
    seconds: int
    """How long it ran, as far as they know."""


@dataclass(frozen=True, slots=True)
class AppCost:
    """What the books say of an app within a period."""

    app_id: str
    dollars: Decimal


@dataclass(frozen=True, slots=True)
class Costs:
    """What the books say of a period."""

    others: list[AppCost]
    """Apps that aren't ours, a line for each hour or day."""
    sandboxes: list[tuple[Facts, Spent]]
    """Ours."""
