from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass, field
from datetime import timedelta

import httpx
import pytest

from app.catalog.endpoints import router
from app.catalog.normalising import listing_id
from app.catalog.polling import pause_provider
from app.catalog.refreshing import refresh_due
from app.kit.clock import SystemClock
from app.kit.db import driver
from app.kit.ids import AccountId, ApiKeyId
from app.providers.errors import Unavailable
from app.web import Cursors, Limiter, Principal
from app.web.errors import Unauthorized
from tests.applications import new_app

ID = listing_id("vast", "1001", spot=False)


@dataclass
class Stopped(SystemClock):
    at: object

    def now(self):
        return self.at


@dataclass
class State:
    db: object
    clock: Stopped
    cursors: Cursors = field(default_factory=lambda: Cursors(b"cursor key"))
    limiter: Limiter = field(default_factory=lambda: Limiter(per_key=100_000, per_account=100_000))
    caller: Principal = field(
        default_factory=lambda: Principal(
            AccountId.new(), ApiKeyId.new(), None, frozenset({"catalog:read"}), True, "test"
        )
    )

    async def authenticate(self, secret, *, at, address):
        if secret != "secret":
            raise Unauthorized
        return self.caller


@pytest.fixture
def state(api, at):
    return State(api, Stopped(at))


@pytest.fixture
async def client(state):
    app = new_app(state, router)
    headers = {"Authorization": "Bearer secret"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test", headers=headers) as client:
        yield client


@pytest.fixture
async def market(worker, cloud, refresh, make_offer):
    offers = [make_offer(), make_offer(spot=True, price_micros_per_hour=100_000)]
    offers += [make_offer(offer_id=str(n), gpu_name="H100 SXM", vram_mib=81_559, gpu_count=n) for n in (1, 2, 8)]
    await refresh(worker, cloud, offers)


async def test_families_are_listed_with_what_is_on_offer(market, client):
    families = {item["id"]: item for item in (await client.get("/v1/families")).json()["data"]}
    assert families["rtx-4090"]["listings"] == 2
    assert families["rtx-4090"]["from_price_per_gpu_hour"] == "0.10"
    assert families["b200"]["from_price_per_gpu_hour"] is None
    assert families["h100-80gb"]["hardware"]["sxm"] == {
        "bandwidth_gb_per_second": 3350,
        "fp16_tflops": 989,
        "fp8_tflops": 1979,
    }


async def test_a_family_is_found_by_any_usual_name_with_its_spot_discount(market, client):
    answer = await client.get("/v1/families/RTX_4090")
    assert (answer.json()["id"], answer.json()["spot_discount"]) == ("rtx-4090", 0.75)
    assert answer.json()["spot_discounts"] == [{"provider": "vast", "discount": 0.75, "hours": 1}]
    assert answer.json()["spot_discount_hours"] == 1
    assert (await client.get("/v1/families/voodoo2")).status_code == 404


async def test_a_listing_shows_its_price_all_in_and_what_it_is_made_of(market, client):
    body = (await client.get(f"/v1/listings/{ID.lower()}")).json()
    assert (body["price_per_hour"], body["components"]["gpu"]) == ("0.404167", "0.40")
    assert body["components"]["disk_per_gb_month"] == "0.15"
    assert (body["reliability"], body["ram_gb"], body["vram_gb"], body["available"]) == (0.998, 68, 24, True)
    assert body["display"] == "vast, Oregon, US, 1x RTX 4090 24GB, $0.40/hr"
    dearer = (await client.get(f"/v1/listings/{ID}", params={"disk_gb": 720})).json()
    assert dearer["price_per_hour"] == "0.55"


async def test_listings_say_by_what_they_are_chosen_and_are_sorted_by_it(
    worker, client, cloud, make_cloud, refresh, make_offer
):
    await refresh(worker, cloud, [make_offer(price_micros_per_hour=300_000)])
    await refresh(worker, make_cloud("p2"), [make_offer(provider="p2", price_micros_per_hour=320_000)])
    async with worker.begin_unscoped() as session:
        await driver(session).execute(
            "INSERT INTO machine_health VALUES ('vast', 'rtx-4090', false, 30, 900000, 60, NULL, 1500)"
        )
    by_price = (await client.get("/v1/listings")).json()["data"]
    by_choice = (await client.get("/v1/listings", params={"sort": "expected"})).json()["data"]
    assert [item["provider"] for item in by_price] == ["vast", "p2"]
    assert [(item["provider"], item["expected_price_per_hour"]) for item in by_choice] == [
        ("p2", "0.324167"), ("vast", "0.456251"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "listing_id", ["lst_00000000000000000000000000", "nonsense", "rent_00000000000000000000000000"]
)
async def test_an_unknown_listing_is_not_found(client, listing_id):
    answer = await client.get(f"/v1/listings/{listing_id}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_listings_are_filtered_sorted_and_paged(market, client):
    first = (await client.get("/v1/listings", params={"limit": 3})).json()
    second = (await client.get("/v1/listings", params={"limit": 3, "cursor": first["next_cursor"]})).json()
    prices = [float(item["price_per_hour"]) for item in first["data"] + second["data"]]
    assert prices == sorted(prices)
    assert (len(prices), first["has_more"], second["has_more"]) == (5, True, False)
    only = await client.get(
        "/v1/listings", params={"family": ["H100", "b200"], "gpu_count": 8, "spot": "never", "region": "US"}
    )
    assert [item["gpu_count"] for item in only.json()["data"]] == [8]
    cheap = await client.get("/v1/listings", params={"max_price": "0.104167", "min_reliability": "0.95"})
    assert [item["spot"] for item in cheap.json()["data"]] == [True]


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"family": "voodoo2"}, 422, "unknown_family"),
        ({"gpu_count": "0"}, 422, "validation_failed"),
        ({"max_price": "cheap"}, 422, "validation_failed"),
        ({"max_age_seconds": "3601"}, 422, "validation_failed"),
        ({"colour": "red"}, 422, "validation_failed"),
        ({"cursor": "abc"}, 400, "invalid_cursor"),
    ],
    ids=str,
)
async def test_a_filter_that_makes_no_sense_is_refused(client, query, status, code):
    answer = await client.get("/v1/listings", params=query)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_a_stale_listing_is_not_listed_and_says_that_it_is_not_available(market, client, state, at):
    state.clock.at = at + timedelta(seconds=3601)
    assert (await client.get("/v1/listings")).json()["data"] == []
    assert (await client.get(f"/v1/listings/{ID}")).json()["available"] is False
    assert (await client.get("/v1/providers")).json()["data"][0]["health"] == "stale"


async def test_facets_are_counted_by_dimension(market, client):
    facets = (await client.get("/v1/catalog/facets", params={"spot": "never"})).json()["facets"]
    assert {item["value"]: item["listings"] for item in facets["family"]} == {"h100-80gb": 3, "rtx-4090": 1}


async def test_price_history_is_told_by_the_hour(market, client, state, at):
    state.clock.at = at + timedelta(hours=1)
    body = (await client.get("/v1/catalog/price-history", params={"family": "RTX 4090", "spot": "true"})).json()
    assert [(item["hour"], item["min"], item["p90"]) for item in body["data"]] == [
        ("2026-03-01T12:00:00.000Z", "0.10", "0.10")
    ]
    period = {"family": "b200", "since": "2026-03-02T00:00:00Z", "until": "2026-03-01T00:00:00Z"}
    assert (await client.get("/v1/catalog/price-history", params=period)).status_code == 422


async def test_price_history_comes_in_pages_or_whole_as_csv(market, client, state, at):
    state.clock.at = at + timedelta(hours=1)
    query = {"family": "rtx-4090", "limit": 1}
    first = (await client.get("/v1/catalog/price-history", params=query)).json()
    second = (await client.get("/v1/catalog/price-history", params={**query, "cursor": first["next_cursor"]})).json()
    assert [(item["spot"], more) for page, more in ((first, True), (second, False)) for item in page["data"]] == [
        (False, True), (True, False),
    ]  # fmt: skip
    assert (first["has_more"], second["has_more"]) == (True, False)
    other = await client.get(
        "/v1/catalog/price-history", params={**query, "spot": "true", "cursor": first["next_cursor"]}
    )
    assert (other.status_code, other.json()["code"]) == (400, "invalid_cursor")
    asked = await client.get("/v1/catalog/price-history", params=query, headers={"Accept": "text/csv"})
    assert asked.headers["content-type"].startswith("text/csv")
    assert asked.headers["content-disposition"] == 'attachment; filename="prices-rtx-4090.csv"'
    assert asked.text.split("\r\n") == [
        "hour,family,provider,region,spot,min,median,p90,listings",
        "2026-03-01T12:00:00.000Z,rtx-4090,vast,us-oregon,false,0.40,0.40,0.40,1",
        "2026-03-01T12:00:00.000Z,rtx-4090,vast,us-oregon,true,0.10,0.10,0.10,1",
        "",
    ]
    by_link = await client.get("/v1/catalog/price-history", params={**query, "format": "csv"})
    assert by_link.text == asked.text


async def test_no_price_older_than_ninety_days_is_told(market, client, state, at):
    state.clock.at = at + timedelta(days=90, hours=-1)
    query = {"family": "rtx-4090", "since": "2026-01-01T00:00:00Z"}
    assert len((await client.get("/v1/catalog/price-history", params=query)).json()["data"]) == 2
    state.clock.at = at + timedelta(days=90, seconds=1)
    assert (await client.get("/v1/catalog/price-history", params=query)).json()["data"] == []


async def test_placements_show_how_they_were_scored(market, client):
    body = (await client.post("/v1/placements", json={"family": "4090", "spot": "prefer"})).json()
    assert [one["rank"] for one in body["candidates"]] == [1, 2]
    first, second = body["candidates"]
    assert (first["listing"]["spot"], first["cost_per_hour"], second["parts"]["cost"]) == (True, "0.104167", 1.0)
    assert (first["latency_ms"], first["latency_source"], first["launches"]) == (100, "assumed", 0)
    assert first["parts"] == {"cost": 0.257732, "latency": 1.0, "availability": 1.0}
    assert first["score"] == pytest.approx(0.55 * 0.257732 + 0.25, abs=1e-6)
    assert body["weights"] == {"cost": 0.55, "latency": 0.25, "unavailability": 0.2}
    assert body["compared_with"] == {"cost_per_hour": "0.404167", "latency_ms": 100}
    ratio = (await client.post("/v1/placements", json={"family": "4090", "spot": "prefer", "formula": "ratio"})).json()
    assert [one["score"] for one in ratio["candidates"]] == [0.104167, 0.404167]
    nothing = await client.post("/v1/placements", json={"min_vram_gb": 24, "region": ["ZZ"]})
    assert (nothing.status_code, nothing.json()["candidates"]) == (200, [])


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "validation_failed"),
        ({"family": "voodoo2"}, "unknown_family"),
        ({"family": "4090", "formula": "guess"}, "validation_failed"),
        ({"family": "4090", "gpu_count": 0}, "validation_failed"),
    ],
    ids=str,
)
async def test_a_placement_that_makes_no_sense_is_refused(client, body, code):
    answer = await client.post("/v1/placements", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, code)


async def test_a_price_of_a_sheet_says_since_when_and_how_long_it_holds(
    worker, client, state, cloud, refresh, make_offer, at
):
    await refresh(worker, cloud, [make_offer(priced_at=at - timedelta(days=3))])
    async with worker.begin_unscoped() as session:
        await driver(session).execute("UPDATE listings SET priced_until = $1", at + timedelta(minutes=5))
    shown = (await client.get(f"/v1/listings/{ID}")).json()
    assert (shown["as_of"], shown["stale_at"]) == ("2026-02-26T12:00:00.000Z", "2026-03-01T12:05:00.000Z")
    assert shown["available"]
    state.clock.at = at + timedelta(minutes=5)
    assert not (await client.get(f"/v1/listings/{ID}")).json()["available"]
    assert (await client.get("/v1/listings")).json()["data"] == []


async def test_providers_tell_all_that_they_can_do_and_how_they_are(market, client, cloud):
    (provider,) = (await client.get("/v1/providers")).json()["data"]
    assert (provider["id"], provider["interruption"], provider["health"]) == ("vast", "outbid", "ok")
    assert (provider["success_rate"], provider["listings"]) == (1.0, 5)
    told = {"id" if name == "name" else name: value for name, value in asdict(cloud.capability).items()}
    assert {name: provider[name] for name in told} == told


async def test_a_refresh_by_hand_is_a_row_that_the_worker_picks_up(market, client, worker, cloud, state, at):
    state.clock.at = at + timedelta(seconds=30)
    asked = await client.post("/v1/catalog/refresh", json={"wait_seconds": 0})
    assert (asked.status_code, asked.headers["Retry-After"]) == (202, "10")
    assert asked.json()["results"][0]["status"] == "pending"

    async def work():
        await asyncio.sleep(0.3)
        cloud.answer = Unavailable("secret words of the cloud")
        await refresh_due(worker, [cloud], at=state.clock.at + timedelta(seconds=1))

    waited, _ = await asyncio.gather(client.post("/v1/catalog/refresh", json={}), work())
    assert waited.status_code == 200
    assert (waited.json()["results"][0]["status"], waited.json()["results"][0]["error"]) == ("failed", "Unavailable")


async def test_what_is_seconds_old_or_paused_is_not_waited_for(market, client, worker, cloud, state, at):
    recent = await client.post("/v1/catalog/refresh", json={"providers": ["vast"]})
    assert (recent.status_code, recent.json()["results"][0]["status"]) == (200, "refreshed")
    async with worker.begin_unscoped() as session:
        await pause_provider(session, "vast")
    paused = await client.post("/v1/catalog/refresh", json={})
    assert (paused.json()["complete"], paused.json()["results"][0]["status"]) == (True, "paused")


async def test_a_refresh_of_an_unknown_provider_is_refused(market, client):
    assert (await client.post("/v1/catalog/refresh", json={"providers": ["x"]})).status_code == 422


async def test_reading_needs_the_scope(client, state):
    state.caller = Principal(AccountId.new(), ApiKeyId.new(), None, frozenset({"billing:read"}), True, "test")
    answer = await client.get("/v1/families")
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
