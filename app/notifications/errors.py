"""What the room can answer.

AppError
└── InvalidState (kit)        409
    ├── WebhookDisabled       409
    └── TooManyWebhooks       409
"""

from __future__ import annotations

from app.kit.errors import InvalidState


class WebhookDisabled(InvalidState):
    """The webhook is disabled."""

    suggestion = "Enable it first: PATCH it with enabled true."


class TooManyWebhooks(InvalidState):
    """The account has as many webhooks as it may."""

    suggestion = "Delete one that is no longer needed."
