"""Every route of the room."""

from __future__ import annotations

from typing import Final

from app.notifications.feed import endpoints as feed_endpoints
from app.notifications.letters import endpoints as preference_endpoints
from app.notifications.webhooks import delivery_endpoints
from app.notifications.webhooks import endpoints as webhook_endpoints

ROUTERS: Final = (
    feed_endpoints.router,
    webhook_endpoints.router,
    delivery_endpoints.router,
    preference_endpoints.router,
)
"""All routers of the room."""
