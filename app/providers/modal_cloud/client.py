"""The port to Modal: the SDK's calls with our deadlines, retries of reading calls, and errors."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from app.providers.errors import ProviderError, RateLimited, Unavailable
from app.providers.modal_cloud.errors import read_error, status_of
from app.providers.modal_cloud.facts import Costs, Facts, Spec, Spent
from app.providers.modal_cloud.sdk import Sdk, load
from app.providers.modal_cloud.thread import LoopThread
from app.providers.reading import T
from app.providers.wire import READ_RETRIES, WireOptions

_JITTER = (0.5, 1.5)
_LIFE_MAX = timedelta(days=1)
_HOURLY = timedelta(days=2)
"""Periods up to this length are reported by the hour, longer ones by the day."""
_AT_ONCE = 8
_CLOSES_WITHIN_SECONDS = 5.0
_NOT_TOLD = frozenset({"PERMISSION_DENIED", "UNIMPLEMENTED"})
_BUILD_SHARE = 0.8
"""Of the time for getting ready, how much an image may take. One that takes longer is asked for again."""


class ModalClient:
    """One workspace. The SDK runs in a thread of its own, which begins with the first call."""

    def __init__(self, sdk: Sdk, *, options: WireOptions, thread: LoopThread | None = None) -> None:
        self._options = options
        self._thread = thread or LoopThread("modal")
        self._sdk = sdk
        self._loaded = False

    async def rates(self) -> dict[str, Decimal]:
        """Return the workspace's rates; none where our token may not see them."""

        async def ask() -> dict[str, Decimal]:
            try:
                return await self._sdk.rates()
            except Exception as error:
                if status_of(error) in _NOT_TOLD:
                    return {}
                raise

        return await self._read("list_offers", ask)

    async def create(self, spec: Spec) -> str:
        """Make a sandbox and return its id. The request is sent once.

        One of this name that lives already is the one that was meant: names are unique within the app.
        """
        patience = self._options.total_seconds
        image = await self._read("prepare", lambda: self._sdk.prepare(spec, patience * _BUILD_SHARE))
        sent: list[bool] = []

        async def make() -> str:
            try:
                return await self._sdk.create(spec, image, lambda: sent.append(True))
            except Exception as error:
                match status_of(error):
                    case "ALREADY_EXISTS":
                        return await self._sdk.find_by_name(spec.name)
                    case "NOT_FOUND":
                        self._sdk.forget(spec)
                raise

        return await self._attempt("create", make, sent=sent, seconds=patience)

    async def get(self, sandbox_id: str) -> Facts:
        """Return a sandbox, ended or not."""
        return await self._read("get_machine", lambda: self._sdk.get(sandbox_id))

    async def sandboxes(self, operation: str, *, tags: Mapping[str, str], finished: bool = False) -> list[Facts]:
        """Return the sandboxes of the app with these tags: those that live, or with ``finished`` all there were."""
        return await self._read(operation, lambda: self._sdk.sandboxes(tags=tags, finished=finished))

    async def terminate(self, sandbox_id: str) -> None:
        """End a sandbox."""
        await self._attempt(
            "destroy", lambda: self._sdk.terminate(sandbox_id), sent=[True], seconds=self._options.total_seconds
        )

    async def spent(self, sandbox_id: str, *, start: datetime, end: datetime) -> Spent | None:
        """Return what a sandbox cost within a period, None where nothing is booked."""
        return await self._read("realised_cost", lambda: self._sdk.spent(sandbox_id, start=start, end=end))

    async def costs(self, *, start: datetime, end: datetime) -> Costs:
        """Return what other apps cost, by whole hours or days, and what each of our sandboxes cost."""
        resolution = "h" if end - start <= _HOURLY else "d"
        ours = await self._read("list_costs", self._sdk.app_id)
        apps = await self._read("list_costs", lambda: self._sdk.report(start=start, end=end, resolution=resolution))
        rows = await self._read(
            "list_costs", lambda: self._sdk.sandboxes(tags={}, finished=True, since=start - _LIFE_MAX)
        )
        few = asyncio.Semaphore(_AT_ONCE)

        async def spent(row: Facts) -> Spent | None:
            since = max(start, row.created_at or start)
            if since >= end:
                return None
            async with few:
                return await self._read("list_costs", lambda: self._sdk.spent(row.sandbox_id, start=since, end=end))

        found = await asyncio.gather(*(spent(row) for row in rows))
        return Costs(
            others=[app for app in apps if app.app_id != ours],
            sandboxes=[(row, one) for row, one in zip(rows, found, strict=True) if one is not None],
        )

    async def aclose(self) -> None:
        """Close the connection and end the thread."""
        if self._thread.is_alive:
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSES_WITHIN_SECONDS):
                    await self._thread.run(self._sdk.aclose)
        await self._thread.aclose()

    async def _read(self, operation: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return what a reading call returns, tried again at most twice within the total deadline."""
        give_up_at = time.monotonic() + self._options.total_seconds
        tries = 0
        while True:
            try:
                return await self._attempt(operation, work, sent=[], seconds=give_up_at - time.monotonic())
            except (Unavailable, RateLimited) as error:
                tries += 1
                wait = max(self._backoff(tries), error.retry_after_seconds or 0.0)
                if tries > READ_RETRIES or time.monotonic() + wait >= give_up_at:
                    raise
            await self._options.sleep(wait)

    async def _attempt(
        self, operation: str, work: Callable[[], Coroutine[Any, Any, T]], *, sent: list[bool], seconds: float
    ) -> T:
        """Run one attempt in the SDK's thread, tell how it went, and raise nothing but a ``ProviderError``."""
        await self._load()
        started = time.monotonic()
        outcome = "cancelled"

        async def within() -> T:
            async with asyncio.timeout(seconds):
                return await work()

        try:
            value = await self._thread.run(within)
        except ProviderError as error:
            outcome = _snake(error)
            raise
        except Exception as error:
            meant = read_error(error, operation=operation, sent=bool(sent))
            outcome = _snake(meant)
            raise meant from error
        else:
            outcome = "ok"
            return value
        finally:
            if self._options.on_call:
                self._options.on_call("modal", operation, outcome, time.monotonic() - started)

    async def _load(self) -> None:
        if not self._loaded:
            try:
                await asyncio.to_thread(load)
            except ImportError as error:
                raise Unavailable("the modal package is not installed") from error
            self._loaded = True

    def _backoff(self, tries: int) -> float:
        return self._options.first_retry_seconds * float(2 ** (tries - 1)) * random.uniform(*_JITTER)  # noqa: S311 - jitter


def _snake(error: ProviderError) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__).lower()
