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
        self._rpc = rpc
        self._seconds = seconds

    async def __call__(self, request: Any, *, metadata: Any = None, **_: object) -> Any:  # noqa: ANN401 - the SDK's signature
        reply = await self._rpc(request, retry=None, timeout=self._seconds, metadata=metadata)
        if reply.ByteSize() > ANSWER_MAX_BYTES:
            raise Malformed(f"the answer is larger than {ANSWER_MAX_BYTES} bytes")
        return reply


class _CreateOnce(_Once):
    """The call that makes a sandbox: tells when it is sent and raises ``Made`` when it is answered."""

    async def __call__(self, request: Any, *, metadata: Any = None, **_: object) -> Any:  # noqa: ANN401 - as above
        _on_send.get()()
        reply = await super().__call__(request, metadata=metadata)
        if not reply.sandbox_id:
            raise Malformed("no sandbox is told of")
        raise Made(str(reply.sandbox_id))
