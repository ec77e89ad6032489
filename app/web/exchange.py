"""What the edge knows about one request while it runs; carried in the ASGI scope."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from fastapi import Request
from starlette.types import Scope

from app.kit.ids import new_request_id
from app.web.limiting import RateHeaders
from app.web.principal import AppState, Principal

_KEY = "hourglass.exchange"


@dataclass(slots=True)
class Exchange:
    """One request and its answer: filled in on the way, read by the middleware at the end."""

    request_id: str
    principal: Principal | None = None
    rate: RateHeaders | None = None
    session: str | None = field(default=None, repr=False)
    """The secret by which the browser's session is known from here on."""
    cookies: list[str] = field(default_factory=list, repr=False)
    """What the answer sets, whatever it says."""
    status: int = 0
    code: str | None = None


def open_exchange(scope: Scope, request_id: str) -> Exchange:
    """Put a new exchange into a scope."""
    exchange = scope[_KEY] = Exchange(request_id)
    return exchange


def exchange_of(scope: Scope) -> Exchange:
    """Return the exchange of a request; an app without the middleware gets one here."""
    found = scope.get(_KEY)
    return cast("Exchange", found) if found is not None else open_exchange(scope, new_request_id())


def state_of(request: Request) -> AppState:
    """Return what bootstrap put into ``app.state.hourglass``."""
    return cast("AppState", request.scope["app"].state.hourglass)
