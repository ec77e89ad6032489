"""Why a message to the webhook is refused. Stripe sends a refused message again for three days."""

from __future__ import annotations

from app.kit.errors import AppError


class WebhookSignatureInvalid(AppError):
    """The message is not signed by Stripe, or was not signed just now."""

    status = 400
    code = "invalid_signature"
    suggestion = "Sign the raw body with the endpoint's own secret, and check the clock."


class WebhookUnreadable(AppError):
    """The message is signed but is no event with its object in it."""

    status = 400
    code = "webhook_unreadable"
    suggestion = "Send snapshot events; thin ones are not taken."


class WebhookWrongMode(AppError):
    """The event is of live mode and we are not, or the other way round."""

    status = 400
    code = "webhook_wrong_mode"
    suggestion = "Give live and test mode endpoints and secrets of their own."
