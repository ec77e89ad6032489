"""Where the room meets HTTP: its tools, and Stripe's answers as the caller sees them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, cast

import structlog
from fastapi import Request

from app.topups.errors import CardPaymentsNotSetUp, StripeOutOfReach, StripeRefusal
from app.topups.gateway.account import Stripe
from app.topups.gateway.errors import GatewayError, StripeBusy, StripeRefused, StripeUnauthorized, StripeUnknown
from app.topups.tools import TopupTools
from app.web.exchange import state_of

log = structlog.get_logger(__name__)


class _State(Protocol):
    topups: TopupTools


def tools_of(request: Request) -> TopupTools:
    """Return the room's tools in this process."""
    return cast("_State", state_of(request)).topups


def stripe_of(tools: TopupTools) -> Stripe:
    """Return the gateway.

    Raises:
        CardPaymentsNotSetUp: there is none.
    """
    if tools.stripe is None:
        raise CardPaymentsNotSetUp
    return tools.stripe


@contextmanager
def told_over_http() -> Iterator[None]:
    """Turn what Stripe answers into what the caller is told.

    Raises:
        StripeOutOfReach: the same request may be sent again.
        StripeRefusal: it will not be done.
    """
    try:
        yield
    except GatewayError as error:
        final = isinstance(error, StripeRefused) or (isinstance(error, StripeUnknown) and error.replayed)
        tell = log.error if final or isinstance(error, StripeUnauthorized) else log.warning
        tell("stripe.failed", error=type(error).__name__, told=str(error))
        if final:
            raise StripeRefusal from None
        wait = error.retry_after if isinstance(error, StripeBusy) and error.retry_after else 2.0
        raise StripeOutOfReach(headers={"Retry-After": str(math.ceil(wait))}) from None
