"""A price sheet and its desk as a cloud."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from app.providers import ManualProvider, NoCapacity, Unavailable
from app.providers.manual.sheet import SHEET_BYTES_MAX

SHEET = """
as_of = {as_of}
max_age_days = 2

[[offers]]
id = "rack-a"
gpu = "NVIDIA L40S"
gpu_count = 1
vram_gib = 48
price_per_hour = "{price}"
region = "oslo-1"
"""


@dataclass
class FixedClock:
    at: datetime = datetime(2026, 11, 2, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody waits here")


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    path = tmp_path / "sheet.toml"
    path.write_text(SHEET.format(as_of="2026-11-01", price="0.82"))
    return path


@pytest.fixture
async def desk(cloud, sheet) -> AsyncIterator[ManualProvider]:
    cloud.on("GET", "/stock", httpx.Response(200, json={"stock": {"rack-a": 2, "rack-b": 5}}))
    async with httpx.AsyncClient(transport=httpx.MockTransport(cloud)) as client:
        yield ManualProvider(sheet=sheet, token="t", base_url="http://desk.test", client=client, clock=FixedClock())


async def test_only_what_the_sheet_prices_and_the_desk_has_is_offered(desk, cloud):
    assert [offer.offer_id for offer in await desk.list_offers()] == ["rack-a"]
    cloud.on("GET", "/stock", httpx.Response(200, json={"stock": {"rack-a": 0}}))
    assert await desk.list_offers() == []


async def test_a_price_is_changed_by_editing_the_sheet(desk, sheet):
    sheet.write_text(SHEET.format(as_of="2026-11-02", price="0.90"))
    [offer] = await desk.list_offers()
    assert (offer.price_micros_per_hour, offer.priced_at) == (900_000, datetime(2026, 11, 2, tzinfo=UTC))


@pytest.mark.parametrize("as_of", ["2026-10-30", "2026-11-03"])
async def test_a_sheet_that_does_not_hold_today_offers_and_rents_nothing(desk, sheet, order, as_of):
    sheet.write_text(SHEET.format(as_of=as_of, price="0.82"))
    with pytest.raises(Unavailable, match="bring it up to date"):
        await desk.list_offers()
    with pytest.raises(Unavailable, match="bring it up to date"):
        await desk.create(order("rack-a"))


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a = ", b"#" * (SHEET_BYTES_MAX + 1)])
async def test_a_sheet_that_can_not_be_read_is_told(desk, sheet, content):
    sheet.write_bytes(content)
    with pytest.raises(Unavailable, match="price sheet"):
        await desk.list_offers()
    sheet.unlink()
    with pytest.raises(Unavailable, match="price sheet"):
        await desk.list_offers()


async def test_what_the_sheet_does_not_price_is_not_rented(desk, order, cloud):
    with pytest.raises(NoCapacity):
        await desk.create(order("rack-b"))
    assert cloud.count("POST", "/machines") == 0
