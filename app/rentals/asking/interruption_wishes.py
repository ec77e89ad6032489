"""What a caller wishes to happen when a cloud takes the machine back."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from app.rentals.asking.launching import RECOVERY_SECONDS, TIMEOUT_ON_INTERRUPT_SECONDS, Launch
from app.web.schemas import Lines, Wire

SCRIPT_BYTES_MAX = 64 * 1024


def _script(text: str) -> str:
    if len(text.encode()) > SCRIPT_BYTES_MAX:
        raise ValueError(f"must have at most {SCRIPT_BYTES_MAX} bytes")
    return text


def _uri(text: str) -> str:
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError("must be a URI, such as s3://bucket/path") from None
    if "@" in parts.netloc:
        raise ValueError("must hold no credentials, since it is shown; put them into secrets")
    return text


Script = Annotated[Lines, Field(min_length=1, max_length=SCRIPT_BYTES_MAX), AfterValidator(_script)]
CheckpointUri = Annotated[
    str,
    Field(pattern=r"^[a-z][a-z0-9+.-]{1,31}:[!-~]{1,2000}$", examples=["s3://bucket/atlas"]),
    AfterValidator(_uri),
]


class InterruptionWishes(Wire):
    """What is to happen when a cloud takes the machine back: spot, or one that ends machines by the clock."""

    on_interrupt: Script | None = None
    """Run on the machine when its cloud gives notice, with the environment; not where it vanishes without a word."""
    timeout_on_interrupt: Annotated[int, Field(ge=1, le=600)] | None = None
    """How long that script may take in seconds; 60 by default, and never longer than the cloud's notice."""
    checkpoint_uri: CheckpointUri | None = None
    """Told to both scripts as `HOURGLASS_CHECKPOINT_URI`; we don't open it. On a machine that takes over, the startup
    script also finds `HOURGLASS_RESUMED=1`."""
    recovery_seconds: Annotated[int, Field(ge=60, le=86_400)] | None = None
    """How long another machine is looked for, unbilled, before the rental fails; 900 by default."""

    def on_interruption(self, base: Launch) -> dict[str, Any]:
        """Return the fields of a launch about interruptions: what is wished, else what ``base`` has."""
        return {name: getattr(self, name) or getattr(base, name) for name in InterruptionWishes.model_fields}


class InterruptionView(Wire):
    """The same, as a template shows it."""

    on_interrupt: str | None
    timeout_on_interrupt: int
    checkpoint_uri: str | None
    recovery_seconds: int


def shown_interruption(stored: dict[str, Any]) -> dict[str, Any]:
    """Return these fields of a stored launch, also of one that is older than they are."""
    defaults = {
        "on_interrupt": None,
        "timeout_on_interrupt": TIMEOUT_ON_INTERRUPT_SECONDS,
        "checkpoint_uri": None,
        "recovery_seconds": RECOVERY_SECONDS,
    }
    return {name: stored.get(name, value) for name, value in defaults.items()}
