import asyncio

import asyncssh
import httpx
import pytest

from app.sandbox import Fault


async def test_a_create_that_succeeds_may_never_be_answered(sandbox, vast, lambda_):
    sandbox.faults.add(Fault("timeout_after_success", provider="vast", mode="drop"))
    with pytest.raises(httpx.RemoteProtocolError):
        await vast.rented()
    sandbox.faults.add(Fault("timeout_after_success", provider="lambda", seconds=30))
    await lambda_.add_key()
    lambda_.http.timeout = httpx.Timeout(0.3)
    with pytest.raises(httpx.ReadTimeout):
        await lambda_.launched()
    assert [(row.provider, row.marker) for row in sandbox.truth] == [("vast", "own-1"), ("lambda", "own-1")]
    assert sandbox.faults.struck["timeout_after_success"] == 2
    assert [call.status for call in sandbox.calls if call.operation == "create"] == [0, 0]


async def test_a_connection_held_back_is_cut_after_its_seconds(sandbox, vast):
    sandbox.faults.add(Fault("timeout_after_success", "list_machines", seconds=0.1))
    with pytest.raises(httpx.RemoteProtocolError):
        await vast.listed()
    assert await vast.listed() == []


async def test_too_many_calls_are_answered_in_each_clouds_own_words(sandbox, vast, lambda_):
    sandbox.faults.add(Fault("rate_limited", times=2, retry_after="soon"))
    refused = await vast.http.get("/api/v0/users/current")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "soon")
    assert refused.text == "API requests too frequent endpoint threshold=2.0"
    assert refused.headers["content-type"].startswith("text/plain")
    refused = await lambda_.http.get("/api/v1/instances")
    assert refused.status_code == 429
    assert "error" in refused.json()
    assert (await lambda_.http.get("/api/v1/instances")).status_code == 200


async def test_a_refusal_may_come_after_the_effect(sandbox, lambda_):
    await lambda_.add_key()
    sandbox.faults.add(Fault("rate_limited", "create", after_effect=True))
    assert (await lambda_.launch()).status_code == 429
    assert [row["name"] for row in await lambda_.listed()] == ["own-1"]


@pytest.mark.parametrize(("status", "kind"), [(500, "application/json"), (502, "text/html"), (503, "text/html")])
async def test_server_errors_are_json_and_gateway_errors_pages(sandbox, vast, status, kind):
    sandbox.faults.add(Fault("server_error", "create", status=status))
    answer = await vast.rent(await vast.cheapest())
    assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (status, kind)
    assert sandbox.truth == []


async def test_credentials_and_credit_may_be_refused(sandbox, vast, lambda_):
    sandbox.faults.add(Fault("unauthorized", times=2))
    sandbox.faults.add(Fault("no_credit", "create", times=2))
    assert (await vast.http.get("/api/v1/instances/")).json()["error"] == "auth_error"
    assert (await lambda_.http.get("/api/v1/instances")).json()["error"]["code"] == "global/invalid-api-key"
    assert (await vast.rent(await vast.cheapest())).json()["error"] == "missing_billing"
    await lambda_.add_key()
    assert (await lambda_.launch()).json()["error"]["code"] == "global/quota-exceeded"


@pytest.mark.parametrize("mode", ["truncated", "html", "empty"])
async def test_an_answer_may_be_no_json(sandbox, vast, mode):
    sandbox.faults.add(Fault("malformed", "create", mode=mode))
    answer = await vast.rent(await vast.cheapest())
    assert answer.status_code == 200
    with pytest.raises(ValueError):  # noqa: PT011 - any reader's complaint
        answer.json()
    assert len(sandbox.truth) == 1


async def test_an_answer_may_have_other_types_twin_keys_or_no_end(sandbox, vast):
    sandbox.faults.add(Fault("malformed", "account", mode="types"))
    sandbox.faults.add(Fault("malformed", "account", mode="duplicate_keys"))
    sandbox.faults.add(Fault("malformed", "account", mode="huge"))
    path = "/api/v0/users/current"
    assert (await vast.http.get(path)).json()["credit"] == "~1000.0"
    assert (await vast.http.get(path)).text.count('"id"') == 2
    async with vast.http.stream("GET", path) as answer:
        assert (await anext(answer.aiter_bytes(1024))).strip() == b""


async def test_an_answer_may_come_late_or_piece_by_piece(sandbox, vast):
    sandbox.faults.add(Fault("slow", "account", seconds=0.5))
    sandbox.faults.add(Fault("slow", "account", seconds=0.5, mode="drip"))
    for _ in range(2):
        with pytest.raises(httpx.ReadTimeout):
            async with asyncio.timeout(5):
                await vast.http.get("/api/v0/users/current", timeout=httpx.Timeout(5, read=0.001))
    sandbox.faults.add(Fault("slow", "account", seconds=0.2, mode="drip"))
    assert (await vast.http.get("/api/v0/users/current")).json()["id"] == 9


async def test_an_offer_may_cost_more_than_it_was_listed_for(sandbox, vast):
    sandbox.faults.add(Fault("price_changed"))
    offer = await vast.cheapest()
    (await vast.rent(offer)).raise_for_status()
    assert sandbox.truth[0].price_micros_per_hour == round(offer["dph_base"] * 1_250_000)


async def test_an_offer_may_be_gone_though_listed(sandbox, vast, lambda_):
    sandbox.faults.add(Fault("offer_gone", times=2))
    offer = await vast.cheapest()
    refused = await vast.rent(offer)
    assert (refused.status_code, refused.json()["error"]) == (410, "no_such_ask")
    assert (await vast.cheapest())["id"] == offer["id"]
    await lambda_.add_key()
    refused = await lambda_.launch()
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "instance-operations/launch/insufficient-capacity"
    (await lambda_.launch()).raise_for_status()


async def test_an_offer_may_be_drained_at_the_create_and_the_whole_market_at_a_listing(sandbox, vast, lambda_):
    sandbox.faults.add(Fault("offer_drained", provider="vast"))
    offer = await vast.cheapest()
    assert (await vast.rent(offer)).status_code == 410
    assert (await vast.cheapest())["id"] != offer["id"]
    sandbox.faults.add(Fault("offer_drained", "list_offers", times=2))
    assert await vast.search() == []
    assert not any(kind["regions_with_capacity_available"] for kind in (await lambda_.types()).values())
    assert await vast.search() != []


async def test_a_machine_may_never_boot_or_fail_to(sandbox, vast, lambda_, until):
    sandbox.faults.add(Fault("never_boots", provider="vast", mode="failed"))
    row = await vast.reaches(await vast.rented(), "created")
    await vast.reaches(row["id"], "created")

    async def failed():
        return "OCI runtime create failed" in (await vast.show(row["id"]))["status_msg"]

    await until(failed)
    await lambda_.add_key()
    sandbox.faults.add(Fault("never_boots", subject="own-2"))
    stuck, sound = await lambda_.launched(name="own-2"), await lambda_.launched(name="own-3")
    await lambda_.reaches(sound, "active")
    assert (await lambda_.get(stuck))["status"] == "booting"
    assert [row.started_at is None for row in sandbox.truth] == [True, True, False]


async def test_a_machine_may_have_another_gpu_or_another_number_of_them(sandbox, vast):
    sandbox.faults.add(Fault("wrong_gpu"))
    sandbox.faults.add(Fault("wrong_gpu", mode="count"))
    offer = (await vast.search(gpu_name={"eq": "RTX 4090"}, num_gpus={"eq": 2}))[0]
    other = (await vast.search(gpu_name={"eq": "RTX 4090"}, num_gpus={"eq": 2}))[1]
    (await vast.rent(offer)).raise_for_status()
    (await vast.rent(other)).raise_for_status()
    delivered = [(row.gpu_name, row.gpu_count) for row in sandbox.truth]
    assert delivered == [("NVIDIA GeForce RTX 3060", 2), ("NVIDIA GeForce RTX 4090", 1)]


async def test_a_machine_may_run_and_refuse_ssh(sandbox, vast):
    sandbox.faults.add(Fault("no_ssh"))
    row = await vast.reaches(await vast.rented(), "running")
    port = int(row["ports"]["22/tcp"][0]["HostPort"])
    with pytest.raises(OSError):  # noqa: PT011 - refused
        await asyncssh.connect(row["public_ipaddr"], port, username="root", known_hosts=None, config=[])


async def test_a_machine_may_vanish_and_its_capacity_comes_back(sandbox, lambda_, until):
    await lambda_.add_key()
    sandbox.faults.add(Fault("vanishes", seconds=0.05))
    before = sandbox.offers()
    number = await lambda_.launched()

    async def gone():
        return await lambda_.get(number) is None

    await until(gone)
    assert sandbox.truth[0].ended_at is not None
    assert sandbox.offers() == before


async def test_a_fresh_machine_may_be_left_out_of_lists_and_even_be_unknown(slow_world, clock):
    sandbox, vast, lambda_ = slow_world
    sandbox.faults.add(Fault("lists_late", provider="vast", seconds=10))
    sandbox.faults.add(Fault("lists_late", provider="lambda", seconds=10, mode="everywhere"))
    await lambda_.add_key()
    one, two = await vast.rented(), await lambda_.launched()
    assert (await vast.listed(), await lambda_.listed()) == ([], [])
    assert (await vast.show(one))["label"] == "own-1"
    assert await lambda_.get(two) is None
    await clock.advance(10)
    assert [row["id"] for row in await vast.listed()] == [one]
    assert [row["id"] for row in await lambda_.listed()] == [two]
    sandbox.faults.add(Fault("lists_late", "list_machines", seconds=60))
    assert await vast.listed() == []
    assert len(await vast.listed()) == 1


async def test_a_machine_may_lose_its_marker(sandbox, vast, lambda_):
    await lambda_.add_key()
    sandbox.faults.add(Fault("marker_lost", provider="vast"))
    sandbox.faults.add(Fault("marker_lost", provider="lambda", mode="cut"))
    one, two = await vast.rented(), await lambda_.launched(name="own-1234567890123456789")
    assert (await vast.show(one))["label"] is None
    assert (await lambda_.get(two))["name"] == "own-123456789012"


async def test_a_delete_may_fail_aloud_or_lie(sandbox, vast, lambda_):
    await lambda_.add_key()
    one, two = await vast.rented(), await lambda_.launched()
    sandbox.faults.add(Fault("delete_fails", times=2))
    assert (await vast.http.delete(f"/api/v0/instances/{one}/")).status_code == 500
    assert (await lambda_.terminate(two)).json()["error"]["code"] == "global/internal-error"
    sandbox.faults.add(Fault("delete_fails", times=2, mode="lies"))
    assert (await vast.http.delete(f"/api/v0/instances/{one}/")).json()["success"] is True
    assert (await lambda_.terminate(two)).json()["data"]["terminated_instances"][0]["status"] == "terminating"
    assert all(row.ended_at is None for row in sandbox.truth)
    assert (await lambda_.get(two))["status"] in {"booting", "active"}
    await vast.http.delete(f"/api/v0/instances/{one}/")
    assert await vast.show(one) is None


async def test_a_bid_below_the_floor_may_leave_a_stopped_contract(sandbox, vast):
    offer = (await vast.search(type="bid", disk_space={"gte": 100}))[0]
    low = offer["min_bid"] / 2
    clean = await vast.rent(offer, price=low)
    assert (clean.status_code, "new_contract" in clean.json()) == (400, False)
    sandbox.faults.add(Fault("leaves_contract"))
    for more in ({}, {"cancel_unavail": False}):
        left = await vast.rent(offer, price=low, **more)
        assert (left.status_code, left.json()["error"]) == (400, "invalid_price")
        row = await vast.show(left.json()["new_contract"])
        assert [row[key] for key in ("cur_state", "next_state", "intended_status")] == ["stopped"] * 3


async def test_a_fault_strikes_only_its_operation_cloud_and_subject_and_only_so_often(sandbox, vast):
    sandbox.faults.add(Fault("server_error", "destroy", provider="lambda"))
    sandbox.faults.add(Fault("server_error", "get_machine", subject="own-2"))
    one, two = await vast.rented(label="own-1"), await vast.rented(label="own-2")
    assert (await vast.show(one))["id"] == one
    assert (await vast.http.get(f"/api/v0/instances/{two}/")).status_code == 500
    assert (await vast.show(two))["id"] == two
    assert (await vast.http.delete(f"/api/v0/instances/{two}/")).status_code == 200
    sandbox.faults.clear()
    assert sandbox.faults.listed() == []


@pytest.mark.parametrize("wrong", [{"kind": "gremlins"}, {"kind": "slow", "operation": "dance"}])
def test_a_fault_that_does_not_exist_is_refused(wrong):
    with pytest.raises(ValueError, match="unknown"):
        Fault(**wrong)


def test_chance_comes_from_the_seed():
    from app.sandbox.faults import Faults

    def strikes(seed):
        faults = Faults(seed)
        faults.add(Fault("slow", times=None, probability=0.5))
        return [faults.draw({"slow"}, provider="vast", operation="charges") is not None for _ in range(40)]

    assert strikes(1) == strikes(1) != strikes(2)
    assert 5 < sum(strikes(1)) < 35
