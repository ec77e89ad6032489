"""RunPod's errors: problem documents, with the properties that a strict body breaks."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from app.sandbox.answers import Refusal

MEDIA_TYPE = "application/problem+json"
NO_INSTANCES = (
    "There are no longer any instances available with the requested specifications. Please refresh and try again."
)
NO_FREE_GPUS = "There are not enough free GPUs on the host machine to start this pod."


def problem(status: int, detail: str, *, errors: Sequence[str] = (), headers: dict[str, str] | None = None) -> Refusal:
    """Return an error in RunPod's form."""
    body = {"title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    more = {"errors": list(errors)} if errors else {}
    return Refusal(status, {**body, **more}, headers={"Content-Type": MEDIA_TYPE, **(headers or {})})


def invalid(*errors: str) -> Refusal:
    """Return RunPod's word for a body that does not match its schema."""
    return problem(422, "Request validation failed.", errors=errors)


def broken_rule(detail: str) -> Refusal:
    """Return RunPod's word for a body that breaks a rule between its properties."""
    return problem(400, detail)


def no_capacity(detail: str = NO_INSTANCES) -> Refusal:
    """Return RunPod's word for GPUs that are not to be had: a 400 like a broken rule, told apart by its words alone."""
    return problem(400, detail)


def not_found(what: str = "pod") -> Refusal:
    """Return RunPod's word for something that is not there."""
    return problem(404, f"{what} not found")
