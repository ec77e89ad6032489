"""Stripe's no, in Stripe's words."""

from __future__ import annotations

from typing import Any

from app.sandbox.answers import Refusal

_DOCS = "https://docs.stripe.com/error-codes#"


class StripeRefusal(Refusal):
    """An error object and its status.

    ``kept``: the call had begun, so that its idempotency key repeats this answer; a mistake in the parameters is not.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        kept: bool = False,
        **more: Any,  # noqa: ANN401 - whole objects ride along
    ) -> None:
        error: dict[str, Any] = {"message": message, "type": kind}
        if code:
            error |= {"code": code, "doc_url": f"{_DOCS}{code.replace('_', '-')}"}
        if param:
            error["param"] = param
        super().__init__(status, {"error": error | more})
        self.kept = kept


def missing(noun: str, object_id: str, *, param: str | None = None) -> StripeRefusal:
    """Return that an object is not there: 404 when the path names it, 400 when a parameter does."""
    status = 400 if param else 404
    return StripeRefusal(status, f"No such {noun}: '{object_id}'", code="resource_missing", param=param or "id")


def unexpected_state(noun: str, message: str, **more: Any) -> StripeRefusal:  # noqa: ANN401 - as above
    """Return that an object's status does not allow the call."""
    return StripeRefusal(400, message, code=f"{noun}_unexpected_state", kept=True, **more)


def not_allowed(message: str, *, code: str | None = None, param: str | None = None) -> StripeRefusal:
    """Return that the account's books do not allow the call."""
    return StripeRefusal(400, message, code=code, param=param, kept=True)
