"""Many calls at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


async def rush(call: Callable[[], Coroutine[Any, Any, object]], *, times: int) -> None:
    """Call so many times at once, until one fails: all have ended then.

    A call that still connects while its adapter is closed leaves a connection behind that nobody closes.

    Raises:
        ExceptionGroup: with the first failures.
    """
    async with asyncio.TaskGroup() as calls:
        for _ in range(times):
            calls.create_task(call())
