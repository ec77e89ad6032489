"""What Vast's wire promises beyond what its client asks for."""

import json

import httpx
import pytest

from app.sandbox import Sandbox, SandboxConfig


async def test_search_needs_no_key_and_all_else_says_what_is_wrong_with_it(sandbox):
    async with httpx.AsyncClient(base_url=sandbox.url) as nobody:
        assert len((await nobody.post("/api/v0/bundles/", json={})).json()["offers"]) > 50
        without = await nobody.get("/api/v1/instances/")
        wrong = await nobody.get("/api/v1/instances/", headers={"Authorization": "Bearer wrong"})
        by_query = await nobody.get("/api/v1/instances/", params={"api_key": sandbox.config.vast_key})
    assert (without.status_code, without.json()["error"]) == (403, "auth_error")
    assert without.json()["msg"] == "This action requires login."
    assert (wrong.status_code, wrong.json()["msg"]) == (404, "Invalid user key")
    assert by_query.status_code == 200


async def test_slashes_matter(vast):
    assert (await vast.http.post("/api/v0/bundles", json={})).status_code == 404
    assert (await vast.http.get("/api/v0/instances/7")).status_code == 404


async def test_a_body_is_json_whatever_its_content_type_says(vast):
    answer = await vast.http.post("/api/v0/bundles/", content=b'{"limit": 1}', headers={"Content-Type": "text/plain"})
    assert len(answer.json()["offers"]) == 1
    assert (await vast.http.post("/api/v0/bundles/", content=b"[1]")).json()["error"] == "invalid_args"
    assert (await vast.http.post("/api/v0/bundles/", content=b"{")).status_code == 400


@pytest.mark.parametrize(
    ("query", "holds"),
    [
        ({"num_gpus": {"eq": "1"}}, lambda o: o["num_gpus"] == 1),
        ({"reliability": {"gt": "0.98"}}, lambda o: o["reliability"] > 0.98),
        ({"num_gpus": {"gte": 2, "lt": "5"}}, lambda o: 2 <= o["num_gpus"] < 5),
        ({"gpu_name": {"in": ["RTX 4090", "A40"]}}, lambda o: o["gpu_name"] in {"RTX 4090", "A40"}),
        ({"gpu_name": {"notin": ["RTX 4090"]}}, lambda o: o["gpu_name"] != "RTX 4090"),
        ({"verified": {"eq": True}}, lambda o: o["verification"] == "verified"),
        ({"verification": {"neq": "verified"}}, lambda o: o["verification"] != "verified"),
        ({"gpu_ram": {"lte": 24576}}, lambda o: o["gpu_ram"] <= 24576),
        ({"direct_port_count": {"gte": 1}}, lambda o: o["direct_port_count"] >= 1),
        ({"gpu_name": "A40"}, lambda o: o["gpu_name"] == "A40"),
    ],
)
async def test_every_operator_compares_numbers_though_sent_as_text(vast, query, holds):
    everything, found = await vast.search(), await vast.search(**query)
    assert found
    assert {o["id"] for o in found} == {o["id"] for o in everything if holds(o)}
    assert len(found) < len(everything)


async def test_an_unknown_operator_is_refused(vast):
    answer = await vast.http.post("/api/v0/bundles/", json={"num_gpus": {"about": 4}})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_args")


async def test_order_limit_and_disk_shape_the_answer(vast):
    rows = await vast.search(order=[["num_gpus", "desc"], ["dph_total", "asc"]], limit=7)
    assert len(rows) == 7
    assert rows == sorted(rows, key=lambda row: (-row["num_gpus"], row["dph_total"]))
    [plain] = await vast.search(id={"eq": rows[0]["id"]}, allocated_storage=0)
    [disk] = await vast.search(id={"eq": rows[0]["id"]}, allocated_storage="720")
    assert plain["dph_total"] == plain["dph_base"]
    assert disk["dph_total"] == pytest.approx(plain["dph_base"] + disk["storage_cost"])


async def test_a_bid_search_shows_the_floor_as_price(vast):
    on_demand = {row["id"]: row for row in await vast.search()}
    for row in await vast.search(type="bid"):
        assert row["is_bid"]
        assert row["dph_base"] == row["min_bid"] < on_demand[row["id"]]["dph_base"]


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"image": None}, "invalid_args"),
        ({"disk": 4}, "invalid_args"),
        ({"disk": "lots"}, "invalid_args"),
        ({"label": "x" * 257}, "invalid_args"),
        ({"onstart": "x" * 4097}, "invalid_args"),
        ({"env": "-e A=1"}, "invalid_args"),
        ({"runtype": "telnet"}, "invalid_args"),
        ({"price": 0}, "invalid_price"),
        ({"price": 129}, "invalid_price"),
        ({"price": "NaN"}, "invalid_price"),
    ],
)
async def test_a_wrong_create_is_refused_and_makes_nothing(sandbox, vast, wrong, error):
    answer = await vast.rent(await vast.cheapest(), **wrong)
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert answer.json()["success"] is False
    assert sandbox.truth == []


async def test_what_is_not_there_is_null_for_get_and_404_for_all_else(vast):
    assert (await vast.http.get("/api/v0/instances/7/", params={"owner": "me"})).json() == {"instances": None}
    for method, path in (
        ("DELETE", "/api/v0/instances/7/"),
        ("PUT", "/api/v0/instances/7/"),
        ("PUT", "/api/v0/instances/reboot/7/"),
        ("PUT", "/api/v0/instances/bid_price/7/"),
        ("POST", "/api/v0/instances/7/ssh/"),
    ):
        answer = await vast.http.request(method, path, json={"ssh_key": "ssh-ed25519 A", "label": "x"})
        assert (answer.status_code, answer.json()["error"]) == (404, "no_such_instance")


async def test_the_list_comes_in_pages_and_filters_by_five_fields(vast):
    offers = [row for row in await vast.search() if row["disk_space"] >= 100][:28]
    numbers = [(await vast.rent(row, label=f"own-{i % 2}")).json()["new_contract"] for i, row in enumerate(offers)]
    seen, token, pages = [], None, 0
    while pages == 0 or token:
        page = (await vast.http.get("/api/v1/instances/", params={"after_token": token} if token else {})).json()
        assert len(page["instances"]) == page["instances_found"] <= 25
        seen, token, pages = seen + [row["id"] for row in page["instances"]], page["next_token"], pages + 1
    assert (seen, pages) == (numbers, 2)
    assert page["total_instances"] == 28
    params = {"select_filters": '{"label":{"eq":"own-1"}}', "order_by": '[{"col":"id","dir":"desc"}]', "limit": 5}
    page = (await vast.http.get("/api/v1/instances/", params=params)).json()
    assert [row["id"] for row in page["instances"]] == numbers[:0:-2][:5]
    assert page["label_counts"] == {"own-1": 14}
    answer = await vast.http.get("/api/v1/instances/", params={"select_filters": '{"geolocation":{"eq":"x"}}'})
    assert answer.status_code == 400
    assert len((await vast.http.get("/api/v0/instances/")).json()["instances"]) == 28


async def test_the_books_hold_what_ran_by_whole_days_and_may_lag(slow_world, clock):
    sandbox, vast, _ = slow_world
    one = await vast.rented(label="own-7")
    await clock.advance(60)
    await vast.reaches(one, "running")
    await clock.advance(3600)
    await vast.http.delete(f"/api/v0/instances/{one}/")
    now = int(clock.now().timestamp())
    day = {"day": {"gte": now, "lte": now}, "type": {"in": ["instance"]}}
    books = await vast.http.get("/api/v0/charges/", params={"select_filters": json.dumps(day), "limit": 500})
    [row] = books.json()["results"]
    [truth] = sandbox.truth
    assert row["source"] == f"instance-{one}"
    assert row["metadata"] == {"label": "own-7"}
    assert round(row["amount"] * 1_000_000) == truth.cost_micros
    items = {item["type"]: item for item in row["items"]}
    assert items["gpu"]["end"] - items["gpu"]["start"] == 3600
    assert items["gpu"]["description"].startswith("1.000 hours at $")
    assert sum(round(item["amount"] * 1_000_000) for item in row["items"]) == truth.cost_micros
    day["day"] = {"gte": now + 86_400, "lte": now + 86_400}
    assert (await vast.http.get("/api/v0/charges/", params={"select_filters": json.dumps(day)})).json()["results"] == []
    assert (await vast.http.get("/api/v0/charges/")).status_code == 400


async def test_several_are_rented_changed_and_destroyed_at_once(sandbox, vast):
    offers = [row["id"] for row in await vast.search(disk_space={"gte": 100})][:2]
    body = {"image": "ubuntu:22.04", "disk": 20, "ids": offers}
    made = (await vast.http.post("/api/v0/asks/bulk/", json=body)).json()["results"]
    numbers = [row["new_contract"] for row in made]
    body = {"image": "x", "disk": 20, "q": {"num_gpus": {"eq": 8}, "order": [["dph_total", "asc"]]}}
    numbers.append((await vast.http.put("/api/v0/launch_instance/", json=body)).json()["new_contract"])
    await vast.http.put("/api/v0/instances/", json={"ids": numbers, "state": "stopped"})
    for number in numbers:
        await vast.reaches(number, "exited")
    await vast.http.request("DELETE", "/api/v0/instances/", json={"instance_ids": numbers})
    assert await vast.listed() == []
    assert {row.status for row in sandbox.truth} == {"gone"}


async def test_prices_move_by_the_seed_and_stay_near_where_they_began(slow_world, clock):
    _, vast, _ = slow_world
    before = {row["id"]: row["dph_base"] for row in await vast.search()}
    one = await vast.rented()
    price = (await vast.show(one))["dph_base"]
    await clock.advance(3600)
    after = {row["id"]: row["dph_base"] for row in await vast.search()}
    moved = [after[number] / before[number] for number in after]
    assert sum(ratio != 1 for ratio in moved) > len(moved) / 2
    assert all(0.68 < ratio < 1.32 for ratio in moved)
    assert (await vast.show(one))["dph_base"] == price


async def test_equal_seeds_make_equal_markets():
    markets = []
    for seed in (3, 3, 4):
        sandbox = await Sandbox.start(SandboxConfig(seed=seed, ssh_port=0))
        markets.append(sandbox.offers())
        await sandbox.aclose()
    assert markets[0] == markets[1] != markets[2]


async def test_a_real_day_can_be_loaded(shared):
    sandbox = await Sandbox.start(SandboxConfig(market=shared / "market", ssh_port=0))
    async with httpx.AsyncClient(base_url=sandbox.url) as http:
        offers = (await http.post("/api/v0/bundles/", json={"allocated_storage": 0})).json()["offers"]
        lambda_key = {"Authorization": f"Bearer {sandbox.config.lambda_key}"}
        types = (await http.get("/api/v1/instance-types", headers=lambda_key)).json()["data"]
    await sandbox.aclose()
    assert len(offers) == 67
    assert {row["num_gpus"] for row in offers} >= {1, 5, 16}
    [row] = [row for row in offers if row["num_gpus"] == 16]
    assert (row["gpu_name"], row["gpu_ram"], row["dph_total"]) == ("RTX 5090", 32607, 6.83)
    assert types["gpu_4x_a6000"]["instance_type"]["price_cents_per_hour"] == 436
    assert types["gpu_8x_v100"]["instance_type"]["description"] == "8x V100 (16 GB)"
