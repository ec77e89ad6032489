"""How the SDK's remote calls are sent: once, with a deadline and a bound on the answer, and a create without a wait."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from app.providers.reading import Malformed
from app.providers.wire import ANSWER_MAX_BYTES

_on_send: ContextVar[Callable[[], None]] = ContextVar("on_send")


class Made(Exception):
    """A sandbox was made; nobody here waits for it to be scheduled."""

    def __init__(self, sandbox_id: str) -> None:
        super().__init__(sandbox_id)
        self.sandbox_id = sandbox_id


def on_next_create(tell: Callable[[], None]) -> None:
    """Be told right before the create that this task is about to send goes out."""
    _on_send.set(tell)


def take_retries_out(stub: Any, *, seconds: float) -> None:  # noqa: ANN401 - the SDK's
    """Let every call of a stub be sent once, with this deadline, and a create end with ``Made``."""
    kind = importlib.import_module("modal._grpc_client").UnaryUnaryWrapper
    for name, rpc in list(vars(stub).items()):
        if isinstance(rpc, kind):
            setattr(stub, name, (_CreateOnce if name == "SandboxCreate" else _Once)(rpc, seconds))


class _Once:
    """A remote call without retries, with a deadline and a bound on the answer."""

    def __init__(self, rpc: Any, seconds: float) -> None:  # noqa: ANN401 - the SDK's
        rpc.wrapped_method = _Bounded(rpc.wrapped_method)
        self._rpc = rpc
        self._seconds = seconds

    async def __call__(self, request: Any, *, metadata: Any = None, **_: object) -> Any:  # noqa: ANN401 - the SDK's signature
        return await self._rpc(request, retry=None, timeout=self._seconds, metadata=metadata)


class _Bounded:
    """gRPC's side of a call, which takes no answer that says that it is larger than the bound."""

    def __init__(self, method: Any) -> None:  # noqa: ANN401 - grpclib's
        self._method = method
        self.name = method.name
        self.channel = method.channel
        """Set by the SDK before each call."""

    async def __call__(self, message: Any, *, timeout: float | None = None, metadata: Any = None) -> Any:  # noqa: ANN401, ASYNC109 - grpclib's signature
        self._method.channel = self.channel
        async with self._method.open(timeout=timeout, metadata=metadata) as stream:
            await stream.send_message(message, end=True)
            await stream.recv_initial_metadata()
            _bound(stream._stream)  # noqa: SLF001 - below grpclib's own surface there is the length, before the message
            reply = await stream.recv_message()
            if reply is None:
                raise Malformed("an answer without a message")
        return reply


def _bound(stream: Any) -> None:  # noqa: ANN401 - grpclib's
    receive = stream.recv_data

    async def bounded(size: int) -> bytes:
        if size > ANSWER_MAX_BYTES:
            raise Malformed(f"the answer is larger than {ANSWER_MAX_BYTES} bytes")
        return bytes(await receive(size))

    stream.recv_data = bounded


class _CreateOnce(_Once):
    """The call that makes a sandbox: tells when it is sent and raises ``Made`` when it is answered."""

    async def __call__(self, request: Any, *, metadata: Any = None, **_: object) -> Any:  # noqa: ANN401 - as above
        _on_send.get()()
        reply = await super().__call__(request, metadata=metadata)
        if not reply.sandbox_id:
            raise Malformed("no sandbox is told of")
        raise Made(str(reply.sandbox_id))
