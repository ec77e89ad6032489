"""gRPC with every call of Modal's control plane: who may call, which faults strike, what goes over the wire."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

from grpclib import GRPCError, Status
from grpclib.encoding.base import CodecBase, StatusDetailsCodecBase
from grpclib.protocol import H2Protocol
from grpclib.server import Server, Stream
from modal_proto import api_grpc, api_pb2

from app.sandbox.faults import ANSWERS, REFUSALS, Fault
from app.sandbox.world import CallRecord, World

_HUGE_BYTES = 64 * 1024 * 1024
_GARBAGE = b"\x0a\x02\xff\xff"
"""Field 1 as two bytes that are neither text nor a message."""
_PAGE = b"<html>\r\n<body>502 Bad Gateway</body>\r\n</html>\r\n"
_STATUSES = {
    Status.UNAUTHENTICATED: 401,
    Status.NOT_FOUND: 404,
    Status.ALREADY_EXISTS: 409,
    Status.INVALID_ARGUMENT: 400,
    Status.FAILED_PRECONDITION: 409,
    Status.RESOURCE_EXHAUSTED: 429,
    Status.UNAVAILABLE: 503,
    Status.DEADLINE_EXCEEDED: 504,
    Status.UNIMPLEMENTED: 501,
}
"""For the record of calls, which counts in HTTP's numbers."""
_BROKEN = {502: Status.UNAVAILABLE, 503: Status.UNAVAILABLE, 504: Status.DEADLINE_EXCEEDED}


@dataclass(frozen=True, slots=True)
class Rpc:
    """How one call is answered."""

    operation: str
    answer: Callable[[Any], Awaitable[Any]]
    """Takes the request and returns the reply, or a list of replies for a stream; raises ``GRPCError``."""
    subjects: Callable[[Any], Collection[str]] = lambda _: ()
    """The ids and markers that a request is about."""


class Door:
    """Lets calls in, one by one, as a cloud would."""

    def __init__(self, world: World, provider: str, rpcs: Mapping[str, Rpc]) -> None:
        self._world = world
        self._provider = provider
        self._server = _Server([_servicer(self, rpcs)], codec=_Codec(), status_details_codec=_Details())

    async def open(self, host: str, port: int) -> int:
        """Listen and return the port; 0 takes a free one.

        The socket says that it is TCP's: asyncio sends small answers at once only then.
        """
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, proto=socket.IPPROTO_TCP)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
        except OSError:
            listener.close()
            raise
        await self._server.start(sock=listener)
        return int(listener.getsockname()[1])

    async def close(self) -> None:
        """Cut all connections."""
        self._server.close()
        await self._server.wait_closed()
        self._server.cut()
        await asyncio.sleep(0)

    async def take(self, name: str, rpc: Rpc, stream: Stream[Any, Any]) -> None:
        """Answer one call, with the faults that strike it."""
        request = await stream.recv_message()
        fault: Fault | None = None
        try:
            self._admit(stream)
            fault = self._world.faults.draw(
                ANSWERS, provider=self._provider, operation=rpc.operation, subjects=rpc.subjects(request)
            )
            if fault and not fault.after_effect:
                _refuse(fault)
            reply = await rpc.answer(request)
            if fault:
                _refuse(fault)
        except GRPCError as error:
            self._record(name, rpc, _STATUSES.get(error.status, 500))
            raise
        cut = fault is not None and fault.kind == "timeout_after_success"
        self._record(name, rpc, 0 if cut else 200)
        if fault is None:
            await _send(stream, reply)
        else:
            await self._send_spoilt(stream, reply, fault)

    def _admit(self, stream: Stream[Any, Any]) -> None:
        config = self._world.config
        metadata: Mapping[str, object] = stream.metadata or {}
        told = metadata.get("x-modal-token-id"), metadata.get("x-modal-token-secret")
        if told != (config.modal_token_id, config.modal_token_secret):
            raise GRPCError(Status.UNAUTHENTICATED, "Token ID is malformed or does not exist.")

    async def _send_spoilt(self, stream: Stream[Any, Any], reply: Any, fault: Fault) -> None:  # noqa: ANN401 - any message
        match fault.kind:
            case "timeout_after_success":
                if fault.mode != "drop":
                    await self._pause(fault.wait(30.0))
                await stream.cancel()
            case "slow":
                if fault.mode == "drip":
                    await stream.send_initial_metadata()
                await self._pause(fault.wait(5.0))
                await _send(stream, reply)
            case "malformed":
                await _send_garbage(stream, reply, fault.mode)
            case _:
                await _send(stream, reply)

    async def _pause(self, seconds: float) -> None:
        closing = asyncio.ensure_future(self._world.closing.wait())
        try:
            await asyncio.wait({closing}, timeout=seconds)
        finally:
            closing.cancel()

    def _record(self, name: str, rpc: Rpc, status: int) -> None:
        path = f"/modal.client.ModalClient/{name}"
        record = CallRecord(self._world.clock.now(), self._provider, rpc.operation, "POST", path, status)
        self._world.calls.append(record)


class _Server(Server):
    """A server that cuts its connections at the end; the base class leaves them to their clients."""

    def __init__(self, *args: Any, **more: Any) -> None:  # noqa: ANN401 - the base class's
        super().__init__(*args, **more)
        self._protocols: WeakSet[H2Protocol] = WeakSet()

    def cut(self) -> None:
        """Cut what is still connected."""
        for protocol in list(self._protocols):
            protocol.processor.close()

    def _protocol_factory(self) -> H2Protocol:
        protocol = super()._protocol_factory()
        self._protocols.add(protocol)
        return protocol


def _servicer(door: Door, rpcs: Mapping[str, Rpc]) -> Any:  # noqa: ANN401 - made here, of a class that has a name only here
    """Return a servicer with every call there is; those that aren't answered say so."""

    def method(name: str) -> Callable[[object, Stream[Any, Any]], Awaitable[None]]:
        """Return the method of one call."""
        rpc = rpcs.get(name)

        async def answer(_: object, stream: Stream[Any, Any]) -> None:
            """Answer one call, or say that it is not answered."""
            if rpc is None:
                raise GRPCError(Status.UNIMPLEMENTED, f"the sandbox does not answer {name}")
            await door.take(name, rpc, stream)

        return answer

    base = api_grpc.ModalClientBase
    return type("Servicer", (base,), {name: method(name) for name in base.__abstractmethods__})()


def _refuse(fault: Fault) -> None:
    if fault.kind not in REFUSALS:
        return
    match fault.kind:
        case "rate_limited":
            raise GRPCError(Status.RESOURCE_EXHAUSTED, "Rate limit exceeded.", _policy(fault.retry_after))
        case "unauthorized":
            raise GRPCError(Status.UNAUTHENTICATED, "Token ID is malformed or does not exist.")
        case "no_credit":
            raise GRPCError(Status.RESOURCE_EXHAUSTED, "Workspace has reached its spend limit.")
    raise GRPCError(_BROKEN.get(fault.status or 500, Status.INTERNAL), "Something went wrong.")


def _policy(retry_after: str | None) -> list[Any] | None:
    """Return how the server tells when to come again, where the fault says a number."""
    try:
        return None if retry_after is None else [api_pb2.RPCRetryPolicy(retry_after_secs=float(retry_after))]
    except ValueError:
        return None


async def _send(stream: Stream[Any, Any], reply: Any) -> None:  # noqa: ANN401 - any message
    if isinstance(reply, list):
        if not reply:
            await stream.send_initial_metadata()
        for message in reply:
            await stream.send_message(message)
    else:
        await stream.send_message(reply)


async def _send_garbage(stream: Stream[Any, Any], reply: Any, mode: str) -> None:  # noqa: ANN401 - any message
    message = reply[0] if isinstance(reply, list) and reply else reply
    body = b"" if isinstance(message, list) else message.SerializeToString()
    match mode:
        case "html":
            garbage = _PAGE
        case "types":
            garbage = _GARBAGE
        case "duplicate_keys":
            garbage = body + _GARBAGE
        case "huge":
            garbage = body + b"\xfa\x7f" + _varint(_HUGE_BYTES) + bytes(_HUGE_BYTES)
        case "empty":
            await stream.cancel()
            return
        case _:
            garbage = body[:-1] or _GARBAGE[:1]
    await stream.send_message(_Raw(garbage))


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:  # noqa: PLR2004 - seven bits to a byte
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


@dataclass(frozen=True, slots=True)
class _Raw:
    """Bytes that go out as they are."""

    body: bytes


class _Codec(CodecBase):
    """Messages as they are, or as a fault leaves them."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: type[Any]) -> bytes:  # noqa: ANN401, ARG002 - grpclib's signature
        """Return a message's bytes."""
        return message.body if isinstance(message, _Raw) else bytes(message.SerializeToString())

    def decode(self, data: bytes, message_type: type[Any]) -> Any:  # noqa: ANN401 - grpclib's signature
        """Return the message in these bytes."""
        return message_type.FromString(data)


class _Details(StatusDetailsCodecBase):
    """The details of an error as Modal packs them."""

    def encode(self, status: Status, message: str | None, details: Any) -> bytes:  # noqa: ANN401 - grpclib's signature
        """Return the packed details."""
        packed = api_pb2.RPCStatus(code=status.value, message=message or "")
        for detail in details or ():
            packed.details.add().Pack(detail, type_url_prefix="type.modal.com/")
        return bytes(packed.SerializeToString())

    def decode(self, status: Status, message: str | None, data: bytes) -> Any:  # noqa: ANN401, ARG002 - grpclib's signature
        """Nobody sends details to a server."""
        return None
