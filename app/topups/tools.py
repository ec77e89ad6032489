"""What the room works with; built once by each process's composition."""

from __future__ import annotations

from dataclasses import dataclass

from app.kit.clock import Clock
from app.kit.db import Database
from app.topups.gateway.account import Stripe


@dataclass(frozen=True, slots=True)
class TopupTools:
    """The room's hands. The API's database sees one account at a time, the worker's all of them."""

    db: Database
    stripe: Stripe | None
    """None where no key is set: then no card is taken."""
    clock: Clock
    public_url: str
    """Where customers reach the API, without a slash at the end."""
    deployment: str
    """Marks our objects at Stripe: two deployments may share one account there."""
