"""Hyperstack's errors: ``{"status": false, "message", "error_reason"}``."""

from __future__ import annotations

from app.sandbox.answers import Refusal


def hyperstack_error(status: int, reason: str, message: str) -> Refusal:
    """Return an error in Hyperstack's form."""
    return Refusal(status, {"status": False, "message": message, "error_reason": reason})


def bad_request(message: str) -> Refusal:
    """Return Hyperstack's word for nearly everything."""
    return hyperstack_error(400, "bad_request", message)


def not_found(message: str) -> Refusal:
    """Return Hyperstack's word for something that is not there."""
    return hyperstack_error(404, "not_found", message)


def already_exist(message: str) -> Refusal:
    """Return Hyperstack's word for a name that is taken."""
    return hyperstack_error(409, "already_exist", message)


def out_of_stock() -> Refusal:
    """Return Hyperstack's word for a flavor that is sold out in a region; only the text tells it from others."""
    return bad_request("Not enough stock available for the requested flavor in this region.")
