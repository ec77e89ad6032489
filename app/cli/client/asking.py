"""What somebody wants to rent, as options of a command and as bodies of requests."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.errors import UsageError

Family = Annotated[str | None, typer.Argument(help="GPU family, such as rtx-4090.")]
MinVram = Annotated[int | None, typer.Option("--min-vram-gb", min=1, help="Instead of a family: memory per GPU.")]
GpuCount = Annotated[int, typer.Option(min=1, help="GPUs in one machine.")]
Regions = Annotated[list[str] | None, typer.Option("--region", help="Region or country; repeatable.")]
Providers = Annotated[list[str] | None, typer.Option("--provider", help="Repeatable.")]
Spot = Annotated[str | None, typer.Option(help="only, prefer or never.")]
MaxPrice = Annotated[str | None, typer.Option(help="Ceiling in dollars per hour, all in.")]
DiskGb = Annotated[int | None, typer.Option(min=8)]
Template = Annotated[str | None, typer.Option(help="What runs on it, such as pytorch.")]
_DEFAULT_KEYS = ("id_ed25519.pub", "id_ecdsa.pub", "id_rsa.pub")


@dataclass(frozen=True, slots=True)
class Market:
    """What the machine must be."""

    family: str | None = None
    min_vram_gb: int | None = None
    gpu_count: int = 1
    region: list[str] | None = None
    providers: list[str] | None = None
    spot: str | None = None
    max_price_per_hour: str | None = None
    disk_gb: int | None = None
    template: str | None = None
    """Only for the disk that it needs."""
    team_id: str | None = None
    """On whose budget it goes."""

    def body(self) -> dict[str, Any]:
        """Return it as the members of a request.

        Raises:
            UsageError: neither a family nor a size is named.
        """
        if self.family is None and self.min_vram_gb is None:
            raise UsageError("Name a family, such as rtx-4090, or --min-vram-gb. See them all with: hourglass families")
        return _members(self)


@dataclass(frozen=True, slots=True)
class Launch:
    """What the machine is to do."""

    name: str | None = None
    template: str | None = None
    image: str | None = None
    startup_script: str | None = None
    max_duration_seconds: int | None = None
    max_spend: str | None = None
    ssh_public_keys: list[str] = field(default_factory=list)

    def body(self) -> dict[str, Any]:
        """Return it as the members of a request."""
        return _members(self)


def read_public_keys(paths: list[Path] | None) -> list[str]:
    """Return the public keys in some files; without any named, those that ssh uses by default.

    Raises:
        UsageError: a file can't be read, or holds a private key.
    """
    if paths is None:
        default = [Path.home() / ".ssh" / name for name in _DEFAULT_KEYS]
        paths = [path for path in default if path.is_file()][:1]
    return [_public_key(path) for path in paths]


def read_script(path: Path | None) -> str | None:
    """Return a script's text.

    Raises:
        UsageError: it can't be read.
    """
    try:
        return None if path is None else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UsageError(f"Can't read {path}: {cause}.") from None


def seconds_of(text: str | None) -> int | None:
    """Return a length of time such as ``90s``, ``30m``, ``2h`` or ``1d`` in seconds.

    Raises:
        UsageError: it is none.
    """
    if text is None:
        return None
    unit = {"s": 1, "m": 60, "h": 3600, "d": 86_400}.get(text[-1:])
    if unit is None or not text[:-1].isascii() or not text[:-1].isdecimal():
        raise UsageError(f"{text!r} is no length of time. Write it as 90s, 30m, 2h or 1d.")
    return int(text[:-1]) * unit


def _public_key(path: Path) -> str:
    text = read_script(path) or ""
    if "PRIVATE KEY" in text:
        raise UsageError(f"{path} is a private key. Name the public one beside it: {path}.pub")
    return text.strip()


def _members(told: Market | Launch) -> dict[str, Any]:
    values = {name: getattr(told, name) for name in told.__slots__}
    return {name: value for name, value in values.items() if value not in (None, [])}
