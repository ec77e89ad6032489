from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from app.providers import (
    Gone,
    NoCapacity,
    OutcomeUnknown,
    QuotaExceeded,
    RateLimited,
    Rejected,
    Unauthorized,
    Unavailable,
)
from app.providers.modal_cloud.errors import read_error
from app.providers.reading import Malformed

grpclib = pytest.importorskip("grpclib")
conversion = pytest.importorskip("modal._grpc_client")
DOUBTFUL = {"CANCELLED", "UNKNOWN", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "ABORTED"}
REFUSED = {"ALREADY_EXISTS", "INVALID_ARGUMENT", "OUT_OF_RANGE", "UNIMPLEMENTED", "FAILED_PRECONDITION"}


def failure(status, message="words", details=None):
    """Return what the SDK makes of a gRPC error."""
    return conversion.grpc_error_to_modal_exception(grpclib.GRPCError(grpclib.Status[status], message, details))


@dataclass
class Policy:
    retry_after_secs: float = field(default=7.0)


@pytest.mark.parametrize("status", [status.name for status in grpclib.Status if status.name != "OK"])
def test_every_status_has_a_meaning_for_a_create_that_was_sent(status):
    meant = type(read_error(failure(status), operation="create", sent=True))
    if status in DOUBTFUL:
        assert meant is OutcomeUnknown
    elif status in REFUSED:
        assert meant is Rejected
    else:
        expected = {
            "UNAUTHENTICATED": Unauthorized,
            "PERMISSION_DENIED": Unauthorized,
            "NOT_FOUND": Rejected,
            "RESOURCE_EXHAUSTED": NoCapacity,
        }
        assert meant is expected[status]


@pytest.mark.parametrize("status", [status.name for status in grpclib.Status if status.name != "OK"])
def test_every_status_has_a_meaning_for_the_other_operations(status):
    allowed = {
        "list_machines": {Unauthorized, RateLimited, Unavailable},
        "list_offers": {Unauthorized, RateLimited, Unavailable},
        "list_costs": {Unauthorized, RateLimited, Unavailable},
        "find_by_marker": {Unauthorized, RateLimited, Unavailable},
        "get_machine": {Unauthorized, RateLimited, Unavailable, Gone},
        "realised_cost": {Unauthorized, RateLimited, Unavailable, Gone},
    }
    for operation, may in allowed.items():
        assert type(read_error(failure(status), operation=operation, sent=False)) in may
    assert type(read_error(failure(status), operation="destroy", sent=True)) in {
        Unauthorized,
        RateLimited,
        OutcomeUnknown,
        Gone,
    }


@pytest.mark.parametrize("status", sorted(DOUBTFUL | {"NOT_FOUND"}))
def test_what_was_not_sent_has_changed_nothing(status):
    assert type(read_error(failure(status), operation="create", sent=False)) is Unavailable


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("Insufficient capacity to create sandbox.", NoCapacity),
        ("", NoCapacity),
        ("Rate limit exceeded", RateLimited),
        ("Too many requests", RateLimited),
        ("Request was throttled", RateLimited),
        ("Workspace has reached its spend limit", QuotaExceeded),
        ("Out of credits: add a payment method", QuotaExceeded),
        ("Workspace GPU quota reached", QuotaExceeded),
    ],
)
def test_what_is_exhausted_is_told_by_the_words(words, meant):
    assert type(read_error(failure("RESOURCE_EXHAUSTED", words), operation="create", sent=True)) is meant


@pytest.mark.parametrize(("seconds", "wait"), [(7.0, 7.0), (0.0, 0.0), (-3.0, 0.0), (1e9, 60.0), (float("nan"), 0.0)])
def test_a_retry_policy_means_too_fast_and_says_when(seconds, wait):
    error = read_error(
        failure("RESOURCE_EXHAUSTED", "spend limit", [object(), Policy(seconds)]), operation="create", sent=True
    )
    assert type(error) is RateLimited
    assert error.retry_after_seconds == wait


def test_whatever_else_goes_wrong_leaves_it_open():
    for error in (
        TimeoutError(),
        ConnectionResetError(),
        Malformed("x"),
        AssertionError(),
        KeyError("x"),
        RuntimeError(),
    ):
        assert type(read_error(error, operation="create", sent=True)) is OutcomeUnknown
        assert type(read_error(error, operation="create", sent=False)) is Unavailable
        assert type(read_error(error, operation="get_machine", sent=False)) is Unavailable


def test_without_a_connection_nothing_was_sent():
    for error in (ConnectionRefusedError(), OSError("no route")):
        assert type(read_error(error, operation="create", sent=True)) is Unavailable
        assert type(read_error(error, operation="destroy", sent=True)) is Unavailable


def test_what_the_sdk_finds_wrong_by_itself_is_read_by_its_name():
    exception = pytest.importorskip("modal.exception")
    assert type(read_error(exception.AuthError("x"), operation="list_offers", sent=False)) is Unauthorized
    assert type(read_error(exception.InvalidError("x"), operation="create", sent=False)) is Rejected
    assert type(read_error(exception.ConnectionError("x"), operation="create", sent=False)) is Unavailable
