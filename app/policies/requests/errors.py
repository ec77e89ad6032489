"""The errors of requests.

AppError
├── RequestDecided   409   it was decided before
├── RequestOutdated  409   the policy has changed since it was asked
└── OwnRequest       403   nobody but an owner decides about an own request
"""

from __future__ import annotations

from app.kit.errors import AppError, InvalidState
from app.web.errors import Forbidden


class RequestDecided(InvalidState):
    """The request was decided already."""

    suggestion = "GET it to see what was decided; ask anew for something else."


class RequestOutdated(InvalidState):
    """The policy has changed since this was asked: the change might not be what was meant."""

    suggestion = "Deny it, and have it asked anew of the policy as it is now."


class OwnRequest(Forbidden):
    """Another owner or admin has to decide about this request: nobody but an owner decides about an own one."""


REQUEST_ERRORS: tuple[type[AppError], ...] = (RequestDecided, RequestOutdated, OwnRequest)
