"""Keeping a hundred thousand listings: the processor's time for a refresh of five clouds, ours and the database's."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import asyncpg

from app.kit.clock import SystemClock
from app.kit.db import Database
from app.kit.rls import WORKER
from app.providers.contract import Offer
from benchmarks import market
from benchmarks.ground import Ground, opened
from benchmarks.market import Cloud
from benchmarks.money import Budget
from benchmarks.report import Row

_LIMIT_SECONDS = 10
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


async def measure(ground: Ground, budget: Budget) -> list[Row]:  # noqa: ARG001 - a part's arguments
    """Return the rows of this part."""
    at = SystemClock().now() - timedelta(hours=1)
    url = await ground.new_database("refreshing")
    clouds = [Cloud(name) for name in market.CLOUDS]
    server = await _postmaster(url)
    async with opened(url, WORKER) as db:
        new = await _timed(db, clouds, server, at=at)
        same = await _timed(db, clouds, server, at=at + timedelta(minutes=1))
        for cloud in clouds:
            cloud.offers = _a_minute_later(cloud.offers)
        usual = await _timed(db, clouds, server, at=at + timedelta(minutes=2))
    await ground.drop_database(url)
    what = f"refresh of {len(clouds)} x {market.LISTINGS_EACH:,} listings, processor time:"
    return [
        Row(f"{what} all of them new", sum(new), _LIMIT_SECONDS, is_ceiling=True, unit=" s", said=_said(new)),
        Row("… nothing changed", sum(same), _LIMIT_SECONDS, is_ceiling=True, unit=" s", said=_said(same)),
        Row(
            "… a tenth dearer or cheaper, a twentieth gone",
            *(sum(usual), _LIMIT_SECONDS),
            is_ceiling=True,
            unit=" s",
            said=_said(usual),
        ),
    ]


async def _timed(db: Database, clouds: Sequence[Cloud], server: int, *, at: datetime) -> tuple[float, float]:
    """Poll all clouds at once; return the seconds of our processor time and of the database's."""
    ours, theirs = time.process_time(), _tree_seconds(server)
    await asyncio.gather(*(cloud.tell(db, at=at) for cloud in clouds))
    return time.process_time() - ours, _tree_seconds(server) - theirs


def _a_minute_later(offers: Sequence[Offer]) -> list[Offer]:
    chance = random.Random(len(offers))
    changed: Callable[[Offer], Offer] = lambda offer: (  # noqa: E731 - a word for the line below
        replace(offer, price_micros_per_hour=offer.price_micros_per_hour + 1000) if chance.random() < 0.1 else offer
    )
    return [changed(offer) for offer in offers if chance.random() >= 0.05]


async def _postmaster(url: str) -> int:
    """Return the process id of the server."""
    connection = await asyncpg.connect(url)
    try:
        return _parent(_stat(int(await connection.fetchval("SELECT pg_backend_pid()"))) or [])
    finally:
        await connection.close()


def _tree_seconds(server: int) -> float:
    """Return the processor time of a server's processes, those that have ended too."""
    ticks = 0
    for entry in Path("/proc").iterdir():
        stat = _stat(int(entry.name)) if entry.name.isdecimal() else None
        if stat and (int(entry.name) == server or _parent(stat) == server):
            ended = 4 if int(entry.name) == server else 2  # utime, stime, and of children that have been waited for
            ticks += sum(map(int, stat[11 : 11 + ended]))
    return ticks / _TICKS_PER_SECOND


def _stat(process: int) -> list[str] | None:
    """Return a process's figures behind its name, or None when it is gone."""
    try:
        return (Path("/proc") / str(process) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _parent(stat: list[str]) -> int:
    return int(stat[1])


def _said(seconds: tuple[float, float]) -> str:
    return (
        f"ours {seconds[0]:.1f} s, the database's {seconds[1]:.1f} s; {sum(seconds) / _LIMIT_SECONDS:.2f} of the limit"
    )
