"""Which error a refusal becomes: what the cloud says, within what the operation may raise."""

from __future__ import annotations

import httpx
import pytest

from app.providers.errors import (
    Gone,
    NotYet,
    OutcomeUnknown,
    QuotaExceeded,
    Rejected,
    Unauthorized,
    Unavailable,
)
from app.providers.reading import mapping
from app.providers.wire import Call, Dialect, Refusal, Wire, WireOptions


async def ask(call: Call, status: int, refusal: Refusal) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(status, text="no"))
    async with httpx.AsyncClient(transport=transport) as client:
        dialect = Dialect("test", refusal, {})
        wire = Wire(dialect, base_url="http://cloud.test", api_key="k", client=client, options=WireOptions())
        await wire.change(call, mapping)


@pytest.mark.parametrize(
    ("status", "operation", "error"),
    [
        (401, "create", Unauthorized),
        (403, "destroy", Unauthorized),
        (400, "create", Rejected),
        (404, "create", Rejected),
        (409, "create", Rejected),
        (409, "destroy", NotYet),
        (423, "stop", NotYet),
        (400, "destroy", OutcomeUnknown),
        (400, "stop", OutcomeUnknown),
        (404, "destroy", OutcomeUnknown),
        (422, "ensure_ssh_key", Rejected),
    ],
)
async def test_a_status_without_words_is_read_by_what_the_operation_may_raise(status, operation, error):
    call = Call(operation, "PUT", "/thing", (), changes=True)
    with pytest.raises(error):
        await ask(call, status, lambda *_: None)


@pytest.mark.parametrize(
    ("refusal", "operation", "error"),
    [
        (QuotaExceeded, "create", QuotaExceeded),
        (QuotaExceeded, "list_offers", Unauthorized),
        (QuotaExceeded, "destroy", Unauthorized),
        (Gone, "get_machine", Gone),
        (Gone, "list_machines", Unavailable),
        (Gone, "create", Rejected),
        (Rejected, "find_by_marker", Unavailable),
    ],
)
async def test_an_operation_raises_only_what_the_contract_says(refusal, operation, error):
    call = Call(operation, "GET", "/thing", (), changes=operation in ("create", "destroy"))
    with pytest.raises(error):
        await ask(call, 400, lambda *_: refusal("x"))
