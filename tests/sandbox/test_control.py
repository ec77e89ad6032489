import pytest

from app.sandbox import Fault


async def test_faults_are_switched_over_http(sandbox, vast):
    add = await vast.http.post("/_sandbox/faults", json={"kind": "server_error", "operation": "account", "times": None})
    number = add.json()["id"]
    assert (await vast.http.get("/api/v0/users/current")).status_code == 500
    listed = (await vast.http.get("/_sandbox/faults")).json()
    assert [(row["id"], row["kind"]) for row in listed["faults"]] == [(number, "server_error")]
    assert listed["struck"] == {"server_error": 1}
    assert (await vast.http.delete(f"/_sandbox/faults/{number}")).status_code == 200
    assert (await vast.http.delete(f"/_sandbox/faults/{number}")).status_code == 404
    assert (await vast.http.get("/api/v0/users/current")).status_code == 200
    sandbox.faults.add(Fault("slow"))
    await vast.http.delete("/_sandbox/faults")
    assert sandbox.faults.listed() == []


@pytest.mark.parametrize("wrong", [{}, {"kind": "gremlins"}, {"kind": "slow", "colour": "red"}, [1]])
async def test_a_fault_that_does_not_exist_is_refused(vast, wrong):
    assert (await vast.http.post("/_sandbox/faults", json=wrong)).status_code == 422


async def test_the_ledger_of_machines_is_told(vast):
    one = await vast.rented(label="own-1")
    [row] = (await vast.http.get("/_sandbox/machines")).json()["machines"]
    assert (row["id"], row["provider"], row["marker"], row["status"]) == (str(one), "vast", "own-1", "booting")
    assert row["created_at"].endswith("Z")
    assert row["usable"] == []
    await vast.reaches(one, "running")
    [row] = (await vast.http.get("/_sandbox/machines")).json()["machines"]
    [[since, until]] = row["usable"]
    assert (since.endswith("Z"), until) == (True, None)


async def test_accidents_happen_on_demand(sandbox, vast):
    offer = (await vast.search(type="bid", disk_space={"gte": 100}))[0]
    one = (await vast.rent(offer, price=offer["min_bid"])).json()["new_contract"]
    await vast.reaches(one, "running")
    for deed in ("kill-gpu", "outbid", "vanish"):
        assert (await vast.http.post(f"/_sandbox/machines/{one}/{deed}")).status_code == 200
    assert await vast.show(one) is None
    assert (await vast.http.post(f"/_sandbox/machines/{one}/vanish")).status_code == 404
    assert (await vast.http.post(f"/_sandbox/machines/{one}/preempt")).status_code == 404
    assert (await vast.http.post(f"/_sandbox/machines/{one}/dance")).status_code == 404
    assert sandbox.truth[0].ended_at is not None


async def test_a_notice_is_given_on_demand(vast):
    one = await vast.rented()
    path = f"/_sandbox/machines/{one}/preempt"
    for wrong in (-1, "5", True):
        assert (await vast.http.post(path, json={"notice_seconds": wrong})).status_code == 422
    assert (await vast.http.post(path, json={"notice_seconds": 100})).status_code == 200
    row = await vast.show(one)
    assert row["end_date"] - row["start_date"] < 200


async def test_offers_are_withdrawn_repriced_and_restored(vast):
    offer = await vast.cheapest()
    await vast.http.post(f"/_sandbox/offers/{offer['id']}/withdraw")
    assert (await vast.rent(offer)).status_code == 410
    await vast.http.post(f"/_sandbox/offers/{offer['id']}/restore")
    await vast.http.post(f"/_sandbox/offers/{offer['id']}/reprice", json={"factor": "0.5"})
    assert (await vast.cheapest())["dph_base"] == pytest.approx(offer["dph_base"] / 2)
    assert (await vast.http.post("/_sandbox/offers/7/withdraw")).status_code == 404
    told = (await vast.http.get("/_sandbox/offers")).json()["offers"]
    assert {row["provider"] for row in told} >= {"vast", "lambda", "runpod"}


async def test_rate_limits_hold_once_switched_on(vast, lambda_):
    await vast.http.post("/_sandbox/rate-limits", json={"enabled": True})
    assert (await vast.http.get("/api/v1/instances/")).status_code == 200
    refused = await vast.http.get("/api/v1/instances/")
    assert (refused.status_code, refused.text) == (429, "API requests too frequent endpoint threshold=2.0")
    assert (await lambda_.http.get("/api/v1/instances")).status_code == 200
    assert (await lambda_.http.get("/api/v1/instances")).status_code == 429
    assert (await vast.http.post("/_sandbox/rate-limits", json={"enabled": False})).json() == {"enabled": False}
    assert (await vast.http.get("/api/v1/instances/")).status_code == 200
    counts = (await vast.http.get("/_sandbox/calls")).json()["counts"]
    assert counts["vast list_machines 429"] == 1
