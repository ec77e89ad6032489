"""Lambda's errors: ``{"error": {"code", "message", "suggestion"}}``."""

from __future__ import annotations

from app.sandbox.answers import Refusal


def lambda_error(status: int, code: str, message: str, suggestion: str | None = None) -> Refusal:
    """Return an error in Lambda's form."""
    error = {"code": code, "message": message}
    return Refusal(status, {"error": error if suggestion is None else {**error, "suggestion": suggestion}})


def invalid_parameters(message: str) -> Refusal:
    """Return Lambda's word for a request that is wrong."""
    return lambda_error(400, "global/invalid-parameters", message)


def not_found(message: str, suggestion: str = "Check the identifier and try again.") -> Refusal:
    """Return Lambda's word for something that is not there."""
    return lambda_error(404, "global/object-does-not-exist", message, suggestion)


def no_capacity() -> Refusal:
    """Return Lambda's word for a type that is sold out in a region."""
    return lambda_error(
        400,
        "instance-operations/launch/insufficient-capacity",
        "Not enough capacity to fulfill launch request.",
        "Choose an instance type with more availability, or try again later.",
    )
