"""Modal in a simulated day: its real SDK over real gRPC, whose calls take virtual time and meet the line's troubles.

The SDK runs in its own thread as ever. Whoever calls holds the baton until the answer is there, as with the database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import Any

from app.providers import WireOptions
from app.providers.modal_cloud.client import ModalClient
from app.providers.modal_cloud.facts import AppCost, Facts, Spec, Spent
from app.providers.modal_cloud.sdk import Sdk
from app.providers.modal_cloud.thread import LoopThread
from app.providers.reading import T
from tests.simulation.timeline import Timeline
from tests.simulation.wire import PATIENCE, Trouble

Work = Callable[[], Coroutine[Any, Any, T]]


class LinedSdk(Sdk):
    """The SDK at the far end of a line."""

    def __init__(
        self, trouble: Trouble, timeline: Timeline, pause: Callable[[float], Awaitable[None]], **facts: Any
    ) -> None:
        super().__init__(**facts)
        self._trouble, self._timeline, self._pause = trouble, timeline, pause
        self._far = LoopThread("modal")

    async def rates(self) -> dict[str, Decimal]:
        return await self._over(super().rates)

    async def prepare(self, spec: Spec, wait_seconds: float) -> Any:
        real = super().prepare
        return await self._over(lambda: real(spec, wait_seconds))

    async def create(self, spec: Spec, image: Any, on_send: Callable[[], None]) -> str:
        real = super().create
        return await self._over(lambda: real(spec, image, on_send), on_send=on_send)

    async def find_by_name(self, name: str) -> str:
        real = super().find_by_name
        return await self._over(lambda: real(name))

    async def get(self, sandbox_id: str) -> Facts:
        real = super().get
        return await self._over(lambda: real(sandbox_id))

    async def sandboxes(self, *, tags: Mapping[str, str], finished: bool = False, **more: Any) -> list[Facts]:
        real = super().sandboxes
        return await self._over(lambda: real(tags=tags, finished=finished, **more))

    async def terminate(self, sandbox_id: str) -> None:
        real = super().terminate
        await self._over(lambda: real(sandbox_id))

    async def spent(self, sandbox_id: str, *, start: datetime, end: datetime) -> Spent | None:
        real = super().spent
        return await self._over(lambda: real(sandbox_id, start=start, end=end))

    async def report(self, *, start: datetime, end: datetime, resolution: str) -> list[AppCost]:
        real = super().report
        return await self._over(lambda: real(start=start, end=end, resolution=resolution))

    async def app_id(self) -> str:
        return await self._over(super().app_id)

    async def aclose(self) -> None:
        """Close what may still be open, though its worker is long dead."""
        if self._far.is_alive:
            await self._far.run(super().aclose)
        await self._far.aclose()

    async def _over(self, work: Work[T], *, on_send: Callable[[], None] = lambda: None) -> T:
        trouble = self._trouble.strike()
        if trouble == "unreachable":
            raise ConnectionRefusedError("no connection")
        await self._pause(self._trouble.brief())
        if trouble in {"lost_before", "delayed"}:
            on_send()
            if trouble == "delayed":
                self._timeline.spawn(self._late(work, self._trouble.delay()))
            await self._give_up()
        answer = await self._far.run(work)
        if trouble == "lost_after":
            await self._give_up()
        await self._pause(self._trouble.slow() if trouble == "slow" else self._trouble.brief())
        return answer

    async def _give_up(self) -> None:
        await self._pause(PATIENCE)
        raise TimeoutError("no answer")

    async def _late(self, work: Work[Any], seconds: float) -> None:
        await self._timeline.pause(seconds)
        with suppress(Exception):
            await self._far.run(work)


class Here(LoopThread):
    """No thread: what the adapter does happens in its worker, and the SDK has one beyond the line."""

    def __init__(self) -> None:
        super().__init__("none")

    @property
    def is_alive(self) -> bool:
        return True

    async def run(self, work: Work[T]) -> T:
        return await work()

    async def aclose(self) -> None:
        await asyncio.sleep(0)


def client_over(sdk: LinedSdk, options: WireOptions) -> ModalClient:
    """Return the adapter's port to the cloud."""
    return ModalClient(sdk, options=options, thread=Here())
