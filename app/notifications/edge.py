"""What this room's endpoints need beside the edge's own state, and who may use them."""

from __future__ import annotations

from typing import Protocol, cast

from fastapi import Request

from app.kit.destinations import RefusedDestination, Rules
from app.web import AppState, Principal
from app.web.errors import Forbidden, ValidationFailed
from app.web.exchange import state_of


class NotificationState(AppState, Protocol):
    """The edge's state with the rules of where messages may go."""

    @property
    def webhook_rules(self) -> Rules:
        """Which destinations customers may name."""
        ...


def notification_state(request: Request) -> NotificationState:
    """Return what bootstrap put into ``app.state.hourglass``."""
    return cast("NotificationState", state_of(request))


def require_whole_account(caller: Principal) -> None:
    """Pass when a caller sees everything of the account, as its webhooks do.

    Raises:
        Forbidden: it sees some teams' things only.
    """
    if caller.reach is not None:
        raise Forbidden("A webhook is told everything that happens in the account; this caller sees a part of it.")


def check_url(request: Request, url: str) -> None:
    """Pass when messages may be sent to a URL, as far as it can be told before its name is looked up.

    Raises:
        ValidationFailed: they may not.
    """
    try:
        notification_state(request).webhook_rules.read(url)
    except RefusedDestination as refused:
        problem = {"pointer": "/url", "code": "url_refused", "message": refused.reason}
        raise ValidationFailed(errors=[problem]) from None
