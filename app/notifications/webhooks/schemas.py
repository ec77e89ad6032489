"""The wire shapes of webhooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints

from app.kit.destinations import URL_CHARACTERS_MAX
from app.notifications.models import AttemptRow, DeliveryRow, EndpointRow
from app.notifications.told import Told
from app.web.schemas import Text, TimeOut, WholeNumber, Wire

TypePattern = Annotated[
    str, StringConstraints(pattern=r"^(\*|[a-z_]{1,40}\.(\*|[a-z0-9_]{1,60}))$"), Field(examples=["rental.*"])
]
"""A type of event, all of a topic's (`rental.*`), or all (`*`)."""

Url = Annotated[
    str,
    Field(
        min_length=1,
        max_length=URL_CHARACTERS_MAX,
        description="https, port 443 or one above 1023, a full host name or a public address; no user name, no fragment.",
        examples=["https://hooks.example.com/hourglass"],
    ),
]
Description = Annotated[Text, Field(max_length=200)]
Types = Annotated[
    list[TypePattern], Field(max_length=50, description="Which types of events are wanted; all when empty.")
]
OVERLAP_SECONDS_MAX = 7 * 86_400


class WebhookCreate(Wire):
    """A new webhook."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"url": "https://hooks.example.com/hourglass", "types": ["rental.*"]}]}
    )

    url: Url
    description: Description = ""
    types: Types = Field(default_factory=list)


class WebhookUpdate(Wire):
    """What is to change of a webhook."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"enabled": True}]})

    url: Url | None = None
    description: Description | None = None
    types: Types | None = None
    enabled: bool | None = None


class SecretRotation(Wire):
    """How long messages carry a signature by the old secret, too."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"overlap_seconds": 86_400}]})

    overlap_seconds: Annotated[WholeNumber, Field(le=OVERLAP_SECONDS_MAX)] = 86_400


class Webhook(Wire):
    """An endpoint to which events are sent, signed by Standard Webhooks."""

    id: str
    object: Literal["webhook"] = "webhook"
    url: str
    description: str
    types: list[str]
    enabled: bool
    disabled_because: Literal["customer", "failing", "gone"] | None = None
    failing_since: TimeOut | None = None
    secret: str | None = Field(default=None, description="Shown once, when it is made.")
    previous_secret_until: TimeOut | None = None
    created_by: str
    created_at: TimeOut
    updated_at: TimeOut

    @classmethod
    def of(cls, row: EndpointRow, *, secret: str | None = None) -> Webhook:
        """Return an endpoint as it is shown."""
        return cls.model_validate(
            {
                "id": row.id,
                "url": row.url,
                "description": row.description,
                "types": row.types,
                "enabled": row.state == "enabled",
                "disabled_because": row.disabled_because,
                "failing_since": row.failing_since,
                "secret": secret,
                "previous_secret_until": row.previous_until,
                "created_by": row.created_by,
                "created_at": row.created_at,
                "updated_at": row.updated_at,
            }
        )


class WebhookAttempt(Wire):
    """One try of a delivery."""

    number: int
    at: TimeOut
    milliseconds: int
    status: int | None = None
    error: str | None = None
    answer: str = Field(description="The first 1,024 bytes that the receiver answered.")

    @classmethod
    def of(cls, row: AttemptRow) -> WebhookAttempt:
        """Return a try as it is shown."""
        return cls(
            number=row.number,
            at=row.at,
            milliseconds=row.milliseconds,
            status=row.status,
            error=row.error,
            answer=row.answer,
        )


class WebhookDelivery(Wire):
    """One event on its way to one webhook. `webhook-id` of its messages is `event_id`."""

    id: str
    object: Literal["webhook_delivery"] = "webhook_delivery"
    webhook_id: str
    event_id: str
    type: str
    state: Literal["pending", "delivered", "failed"]
    tries: int
    next_at: TimeOut | None = None
    created_at: TimeOut
    ended_at: TimeOut | None = None
    last_status: int | None = None
    last_error: str | None = None

    @classmethod
    def of(cls, row: DeliveryRow) -> WebhookDelivery:
        """Return a delivery as it is shown."""
        return cls.model_validate(_shown(row))


class WebhookDeliveryDetail(WebhookDelivery):
    """A delivery with its message and every try."""

    payload: dict[str, Any] = Field(description="What is sent: `type`, `timestamp` and the event as `data`.")
    attempts: list[WebhookAttempt]

    @classmethod
    def with_tries(cls, row: DeliveryRow, event: Told, attempts: Sequence[AttemptRow]) -> WebhookDeliveryDetail:
        """Return a delivery as it is shown alone."""
        tries = [WebhookAttempt.of(one) for one in attempts]
        return cls.model_validate(_shown(row) | {"payload": event.payload, "attempts": tries})


def _shown(row: DeliveryRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "webhook_id": row.endpoint_id,
        "event_id": row.event_id,
        "type": row.type,
        "state": row.state,
        "tries": row.tries,
        "next_at": row.next_at,
        "created_at": row.created_at,
        "ended_at": row.ended_at,
        "last_status": row.last_status,
        "last_error": row.last_error,
    }
