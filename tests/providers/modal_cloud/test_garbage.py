"""Whatever comes over gRPC, nothing leaves the adapter but a value or an error that the contract names."""

from __future__ import annotations

import inspect
import random
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.providers import (
    Gone,
    NoCapacity,
    NotYet,
    OutcomeUnknown,
    QuotaExceeded,
    RateLimited,
    Rejected,
    Unauthorized,
    Unavailable,
    WireOptions,
)
from app.providers.modal_cloud import ModalProvider

grpclib = pytest.importorskip("grpclib")
server = pytest.importorskip("grpclib.server")
api_grpc = pytest.importorskip("modal_proto.api_grpc")
serving = pytest.importorskip("app.sandbox.modal_cloud.serving")

START, END = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)
ID = "sb-" + "a1" * 11
ALWAYS = (Unauthorized, RateLimited, Unavailable)
RAISES = {
    "list_offers": ALWAYS,
    "create": (*ALWAYS, NoCapacity, Rejected, QuotaExceeded, OutcomeUnknown),
    "find_by_marker": ALWAYS,
    "list_machines": ALWAYS,
    "get_machine": (*ALWAYS, Gone),
    "destroy": (*ALWAYS, NotYet, OutcomeUnknown),
    "realised_cost": ALWAYS,
    "list_costs": ALWAYS,
}
WORDS = [
    "",
    "own-1",
    ID,
    "127.0.0.1",
    "0.5",
    "NaN",
    "1e99",
    "-1",
    "a.eyJleHAiOiA0MTAyNDQ0ODAwfQ.c",
    "sb-",
    "\u202e\x00",
    "x" * 99,
]


def filled(kind: type, chance: random.Random, depth: int = 4) -> object:
    """Return a message with some of its fields set to something."""
    message = kind()
    for field in message.DESCRIPTOR.fields:
        repeated = getattr(field, "is_repeated", False)
        if chance.random() < 0.4 or (field.message_type and (depth == 0 or field.message_type.GetOptions().map_entry)):
            continue
        if field.message_type is not None:
            inner = filled(field.message_type._concrete_class, chance, depth - 1)
            part = getattr(message, field.name)
            part.add().CopyFrom(inner) if repeated else part.CopyFrom(inner)
            continue
        numbers = [0, 1, 3, 5, 22, 40022, 2**31 - 1] + ([1e300, -1.5, float("nan")] if field.cpp_type in {5, 6} else [])
        values = {9: WORDS, 10: [b"", b"\xff"], 7: [False, True], 8: [0, 1, 3]}.get(field.cpp_type, numbers)
        value = chance.choice([word.encode() for word in WORDS] if field.type == field.TYPE_BYTES else values)
        with suppress(ValueError, TypeError):
            getattr(message, field.name).append(value) if repeated else setattr(message, field.name, value)
    return message


class Garbage:
    """A server that answers every call by chance."""

    def __init__(self) -> None:
        self.chance = random.Random(0)
        self.always: object = None
        """A status that every call gets."""
        names = api_grpc.ModalClientBase.__abstractmethods__
        servicer = type("Servicer", (api_grpc.ModalClientBase,), {name: self._method() for name in names})()
        self._server = serving._Server([servicer], codec=serving._Codec(), status_details_codec=serving._Details())
        self.url = ""

    async def start(self) -> None:
        await self._server.start("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server._server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        self._server.close()
        self._server.cut()
        await self._server.wait_closed()

    def _method(self):
        async def answer(_, stream):
            await stream.recv_message()
            if self.always is not None:
                raise grpclib.GRPCError(self.always, "always")
            match self.chance.choice(["message"] * 7 + ["bytes", "status", "cut"]):
                case "message":
                    await stream.send_message(filled(stream._send_type, self.chance))
                case "bytes":
                    await stream.send_message(serving._Raw(self.chance.randbytes(self.chance.randrange(20))))
                case "status":
                    status = self.chance.choice([one for one in grpclib.Status if one.name != "OK"])
                    raise grpclib.GRPCError(status, self.chance.choice(WORDS))
                case _:
                    await stream.cancel()

        assert inspect.iscoroutinefunction(answer)
        return answer


@pytest.fixture(scope="module")
async def garbage():
    garbage = Garbage()
    await garbage.start()
    yield garbage
    await garbage.close()


@pytest.fixture(scope="module")
async def modal(garbage):
    options = WireOptions(first_byte_seconds=0.3, total_seconds=0.6, first_retry_seconds=0.0001)
    modal = ModalProvider(token_id="ak", token_secret="as", server_url=garbage.url, options=options)
    yield modal
    await modal.aclose()


@pytest.mark.parametrize("operation", RAISES)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
async def test_any_answer_gives_a_value_or_an_error_of_the_contract(garbage, modal, order, operation, seed):
    garbage.chance = random.Random(seed)
    wanted = replace(order("L4:1"), image=f"ubuntu:{seed}")
    calls = {
        "list_offers": modal.list_offers,
        "create": lambda: modal.create(wanted),
        "find_by_marker": lambda: modal.find_by_marker("own-1"),
        "list_machines": lambda: modal.list_machines("own-"),
        "get_machine": lambda: modal.get_machine(ID),
        "destroy": lambda: modal.destroy(ID),
        "realised_cost": lambda: modal.realised_cost(ID, start=START, end=END, price_micros_per_hour=1),
        "list_costs": lambda: modal.list_costs(start=START, end=END),
    }
    with suppress(*RAISES[operation]):
        await calls[operation]()


@pytest.mark.parametrize(
    ("status", "goes"), [("PERMISSION_DENIED", True), ("UNIMPLEMENTED", True), ("INTERNAL", False)]
)
async def test_offers_need_no_right_to_see_the_rates(garbage, modal, status, goes):
    garbage.always = grpclib.Status[status]
    try:
        assert len(await modal.list_offers()) == 39
        assert goes
    except Unavailable:
        assert not goes
    garbage.always = None
