"""Stripe's messages told from forged, old and damaged ones."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
import stripe

from app.topups.gateway.signatures import TOLERANCE_SECONDS, InvalidSignature, MalformedEvent, verified_event

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
OLD, NEW = "whsec_old", "whsec_new"
EVENT = {
    "id": "evt_1", "object": "event", "type": "charge.refunded", "api_version": "2026-10-28.endive",
    "created": 1_772_366_400, "livemode": False, "data": {"object": {"id": "ch_1", "object": "charge"}},
}  # fmt: skip
BODY = json.dumps(EVENT, indent=2)


def signed(body: str = BODY, secret: str = NEW, *, seconds: float = 0) -> str:
    at = int((NOW + timedelta(seconds=seconds)).timestamp())
    return stripe.WebhookSignature.generate_signature_header(body, secret, at)


def event_in(body: str | bytes, header: str | None, *secrets: str):
    raw = body if isinstance(body, bytes) else body.encode()
    return verified_event(raw, header, secrets or (NEW, OLD), at=NOW)


@pytest.mark.parametrize("secret", [OLD, NEW])
def test_either_secret_is_taken_while_one_is_being_rolled(secret) -> None:
    event = event_in(BODY, signed(secret=secret))
    assert (event.id, event.type, event.object_id, event.payload) == ("evt_1", "charge.refunded", "ch_1", BODY.encode())


@pytest.mark.parametrize("seconds", [-TOLERANCE_SECONDS, 0, TOLERANCE_SECONDS])
def test_a_message_of_about_now_is_taken(seconds) -> None:
    assert event_in(BODY, signed(seconds=seconds)).id == "evt_1"


@pytest.mark.parametrize("seconds", [-TOLERANCE_SECONDS - 1, TOLERANCE_SECONDS + 1, 3600, -86_400])
def test_a_message_of_another_time_is_not(seconds) -> None:
    with pytest.raises(InvalidSignature):
        event_in(BODY, signed(seconds=seconds))


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "t=,v1=",
        "v1=abc",
        "t=1772366400",
        "t=1772366400,v0=" + signed().partition("v1=")[2],
        signed(secret="whsec_forged"),
        signed().replace("t=", "t=9"),
        signed() + ",t=1",
        "t=1772366400,v1=\ud800",
        "x" * 100_000,
    ],
)
def test_whatever_is_not_signed_is_refused(header) -> None:
    with pytest.raises(InvalidSignature):
        event_in(BODY, header)


def test_a_body_that_was_written_anew_is_not_the_one_that_was_signed() -> None:
    with pytest.raises(InvalidSignature):
        event_in(json.dumps(EVENT), signed())


def test_without_a_secret_nothing_is_signed() -> None:
    for secrets in ((), ("",)):
        with pytest.raises(InvalidSignature):
            verified_event(BODY.encode(), signed(secret=""), secrets, at=NOW)


@pytest.mark.parametrize(
    "body",
    [
        "", "no json", "[]", "{}", json.dumps(EVENT | {"object": "v2.core.event"}),
        json.dumps({key: value for key, value in EVENT.items() if key != "data"}),
        json.dumps(EVENT | {"livemode": "no"}), '{"id":1,"id":2}', "9" * 5000,
    ],
)  # fmt: skip
def test_what_is_signed_but_no_event_is_told_apart(body) -> None:
    with pytest.raises(MalformedEvent):
        event_in(body, signed(body))


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(InvalidSignature):
        event_in(b"\xff\xfe", signed())
