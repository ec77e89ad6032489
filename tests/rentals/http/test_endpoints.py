"""Reading, changing and stopping rentals."""

from __future__ import annotations

import pytest

from app import wallet
from app.kit.ids import RentalId
from app.kit.money import dollars


async def test_a_running_rental_shows_its_machine_and_its_live_cost(ada, hand, clock) -> None:
    rental_id = (await ada.rent(family="rtx-4090", ports=[8000]))["id"]
    await hand.start(ada, rental_id)
    clock.advance(100.9)
    shown = await ada.shown(rental_id)
    assert shown["status"] == "running"
    assert shown["stage"] is None
    assert shown["ssh"] == {
        "host": "203.0.113.7",
        "port": 2201,
        "user": "root",
        "command": "ssh -p 2201 root@203.0.113.7",
    }
    assert shown["endpoints"] == [{"port": 8000, "host": "203.0.113.7", "public_port": 40_001}]
    accrued = 364_000 * 100 // 3600
    assert shown["cost"] == {
        "billed_seconds": 100,
        "charged": "0.00",
        "accrued": dollars(accrued),
        "refunded": "0.00",
    }
    assert shown["reserve"]["held"] == "0.364"
    assert shown["reserve"]["remaining"] == dollars(364_000 - accrued)
    assert shown["actions"] == ["stop", "extend", "report"]
    assert [attempt["status"] for attempt in shown["attempts"]] == ["live"]


async def test_the_list_is_paged_newest_first(ada) -> None:
    made = [(await ada.rent())["id"] for _ in range(5)]
    ids, cursor = [], None
    for _ in range(3):
        page = (await ada.get("/v1/rentals", params={"limit": 2} | ({"cursor": cursor} if cursor else {}))).json()
        ids += [rental["id"] for rental in page["data"]]
        cursor = page["next_cursor"]
        assert page["has_more"] is (cursor is not None)
    assert ids == sorted(made, reverse=True)
    assert cursor is None


async def test_the_list_is_filtered_by_status_family_and_tag(ada, hand) -> None:
    running = (await ada.rent(family="rtx-4090", tags={"env": "prod", "odd": "a:b"}))["id"]
    waiting = (await ada.rent(family="h100", tags={"env": "test"}))["id"]
    await hand.start(ada, running)

    async def listed(**params):
        answer = await ada.get("/v1/rentals", params=params)
        assert answer.status_code == 200, answer.text
        return {rental["id"] for rental in answer.json()["data"]}

    assert await listed(status="running") == {running}
    assert await listed(status=["running", "provisioning"]) == {running, waiting}
    assert await listed(status="failed") == set()
    assert await listed(family="H100_SXM") == {waiting}
    assert await listed(tag="env") == {running, waiting}
    assert await listed(tag="env:prod") == {running}
    assert await listed(tag="odd:a:b") == {running}
    assert await listed(tag="nothing") == set()


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"status": "asleep"}, "validation_failed"),
        ({"family": "nonsense"}, "unknown_family"),
        ({"limit": 201}, "validation_failed"),
        ({"colour": "red"}, "validation_failed"),
    ],
)
async def test_filters_that_mean_nothing_are_refused(ada, params, code) -> None:
    answer = await ada.get("/v1/rentals", params=params)
    assert (answer.status_code, answer.json()["code"]) == (422, code)


async def test_a_cursor_of_another_filter_is_refused(ada) -> None:
    for _ in range(2):
        await ada.rent()
    cursor = (await ada.get("/v1/rentals", params={"limit": 1})).json()["next_cursor"]
    answer = await ada.get("/v1/rentals", params={"limit": 1, "cursor": cursor, "status": "running"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_cursor")


async def test_a_list_takes_as_many_statements_for_many_rentals_as_for_one(ada, statements) -> None:
    async def listed() -> list[str]:
        statements.clear()
        assert (await ada.get("/v1/rentals")).status_code == 200
        return [statement for statement in statements if statement.lstrip().startswith("SELECT")]

    await ada.rent()
    one = await listed()
    for _ in range(4):
        await ada.rent()
    assert len(await listed()) == len(one) == 3


async def test_a_patch_changes_what_it_names_and_its_etag(ada) -> None:
    rental_id = (await ada.rent(family="rtx-4090", name="old", tags={"a": "1"}))["id"]
    read = await ada.get(f"/v1/rentals/{rental_id}")
    first = read.headers["etag"]
    changed = await ada.http.patch(f"/v1/rentals/{rental_id}", json={"name": "new"}, headers={"If-Match": first})
    assert changed.status_code == 200
    assert (changed.json()["name"], changed.json()["tags"]) == ("new", {"a": "1"})
    assert changed.headers["etag"] != first
    stale = await ada.http.patch(f"/v1/rentals/{rental_id}", json={"name": "x"}, headers={"If-Match": first})
    assert (stale.status_code, stale.json()["code"]) == (412, "etag_mismatch")
    assert stale.headers["etag"] == changed.headers["etag"]
    cleared = await ada.http.patch(f"/v1/rentals/{rental_id}", json={"name": None, "tags": {}})
    assert (cleared.json()["name"], cleared.json()["tags"]) == (None, {})
    assert (await ada.shown(rental_id)) == cleared.json()


@pytest.mark.parametrize(
    "body", [{}, {"status": "stopped"}, {"max_duration_seconds": 5}, {"rate": "0"}, {"tags": None}]
)
async def test_a_patch_of_anything_else_is_refused(ada, body) -> None:
    rental_id = (await ada.rent())["id"]
    answer = await ada.http.patch(f"/v1/rentals/{rental_id}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


async def test_a_limit_of_time_is_set_moved_and_cleared_but_never_into_the_past(ada, hand, clock) -> None:
    rental_id = (await ada.rent(family="rtx-4090", max_duration_seconds=3600))["id"]
    await hand.start(ada, rental_id)
    path = f"/v1/rentals/{rental_id}"
    assert (await ada.shown(rental_id))["limits"]["stop_at"] == "2026-03-01T13:00:00.000Z"
    clock.advance(600)
    past = await ada.http.patch(path, json={"max_duration_seconds": 600})
    assert (past.status_code, past.json()["errors"][0]["pointer"]) == (422, "/max_duration_seconds")
    longer = await ada.post(f"{path}/extend", {"seconds": 1800})
    assert longer.status_code == 200, longer.text
    assert longer.json()["limits"]["stop_at"] == "2026-03-01T13:30:00.000Z"
    assert longer.json()["limits"]["max_duration_seconds"] == 5400
    beyond = await ada.post(f"{path}/extend", {"seconds": 365 * 86_400})
    assert beyond.status_code == 422
    cleared = await ada.http.patch(path, json={"max_duration_seconds": None})
    assert cleared.json()["limits"] == {"max_duration_seconds": None, "max_spend": None, "stop_at": None}
    endless = await ada.post(f"{path}/extend", {"seconds": 60})
    assert (endless.status_code, endless.json()["code"]) == (409, "invalid_state")


async def test_an_end_that_has_come_can_t_be_moved_and_is_exact(ada, hand, clock) -> None:
    rental_id = (await ada.rent(family="rtx-4090", max_duration_seconds=60))["id"]
    await hand.start(ada, rental_id)
    clock.advance(75)
    assert (await ada.shown(rental_id))["cost"]["billed_seconds"] == 60
    for answer in (
        await ada.post(f"/v1/rentals/{rental_id}/extend", {"seconds": 60}),
        await ada.http.patch(f"/v1/rentals/{rental_id}", json={"max_duration_seconds": None}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "invalid_state")
    stopped = await ada.http.delete(f"/v1/rentals/{rental_id}")
    assert stopped.json()["cost"]["billed_seconds"] == 60
    assert stopped.json()["cost"]["charged"] == dollars(364_000 * 60 // 3600)


async def test_an_extension_sent_twice_counts_once(ada, hand) -> None:
    rental_id = (await ada.rent(family="rtx-4090", max_duration_seconds=3600))["id"]
    await hand.start(ada, rental_id)
    for _ in range(2):
        answer = await ada.post(f"/v1/rentals/{rental_id}/extend", {"seconds": 600}, key="once")
        assert answer.json()["limits"]["max_duration_seconds"] == 4200


async def test_stopping_is_accepted_once_and_harmless_again(ada, hand, clock) -> None:
    rental_id = (await ada.rent())["id"]
    await hand.start(ada, rental_id)
    clock.advance(1800)
    first = await ada.http.post(f"/v1/rentals/{rental_id}/stop")
    assert first.status_code == 202, first.text
    assert int(first.headers["retry-after"]) > 0
    told = first.json()
    assert (told["status"], told["stage"], told["end_reason"]) == ("stopping", "terminating", "user")
    assert told["cost"] == {
        "billed_seconds": 1800,
        "charged": "0.182",
        "accrued": "0.00",
        "refunded": "0.00",
    }
    assert told["reserve"] == {"held": "0.00", "remaining": "0.00", "funded_until": None}
    assert told["ssh"] is None
    clock.advance(100)
    again = await ada.http.delete(f"/v1/rentals/{rental_id}")
    assert (again.status_code, again.json()["cost"]) == (200, told["cost"])
    await hand.finish(ada, rental_id)
    last = await ada.http.post(f"/v1/rentals/{rental_id}/stop")
    assert (last.status_code, last.json()["status"], last.json()["actions"]) == (200, "stopped", [])


async def test_a_rental_that_never_had_a_machine_is_stopped_at_once_and_free(ada) -> None:
    rental_id = (await ada.rent())["id"]
    answer = await ada.http.delete(f"/v1/rentals/{rental_id}")
    assert (answer.status_code, answer.json()["status"]) == (200, "stopped")
    assert answer.json()["cost"]["charged"] == "0.00"


async def test_the_meter_is_the_wallets(ada, hand, clock, api_db) -> None:
    rental_id = RentalId((await ada.rent())["id"])
    await hand.start(ada, rental_id)
    for seconds in (0.4, 1, 59.7, 700, 3600):
        clock.advance(seconds)
        told = (await ada.get(f"/v1/rentals/{rental_id}/meter")).json()
        async with api_db.begin(ada.account_id) as session:
            holds = await wallet.find_holds(session, account_id=ada.account_id, rental_ids=[rental_id])
        meter = holds[rental_id].meter
        assert told["billed_seconds"] == meter.billable(clock.now())
        assert told["accrued"] == dollars(meter.accrued(clock.now()))
        assert told["remaining"] == dollars(meter.held - meter.accrued(clock.now()))
        assert told["total"] == dollars(364_000 * told["billed_seconds"] // 3600)


async def test_a_bad_machine_can_be_reported_while_it_runs(ada, hand) -> None:
    rental_id = (await ada.rent())["id"]
    early = await ada.post(f"/v1/rentals/{rental_id}/report", {"reason": "slow"})
    assert (early.status_code, early.json()["code"]) == (409, "invalid_state")
    await hand.start(ada, rental_id)
    assert (await ada.post(f"/v1/rentals/{rental_id}/report", {"reason": "slow"})).status_code == 202
    events = (await ada.get(f"/v1/rentals/{rental_id}/events")).json()["data"]
    assert (events[-1]["type"], events[-1]["data"]) == ("rental.reported", {"reason": "slow"})


async def test_keys_of_a_live_rental_change_and_the_worker_is_told(ada, hand, new_public_key) -> None:
    rental_id = (await ada.rent())["id"]
    key = (await ada.post("/v1/ssh-keys", {"name": "k", "public_key": new_public_key()})).json()
    path = f"/v1/rentals/{rental_id}/ssh-keys/{key['id']}"
    before = await hand.row(ada, rental_id)
    assert (await ada.http.put(path)).status_code == 202
    assert (await ada.http.put(path)).status_code == 202
    added = await hand.row(ada, rental_id)
    assert added.ssh_keys == [{"id": key["id"], "public_key": key["public_key"]}]
    assert added.keys_version == before.keys_version + 1
    assert (await ada.http.put(path, headers={"If-Match": '"other"'})).status_code == 412
    await ada.http.delete(f"/v1/ssh-keys/{key['id']}")
    assert (await ada.http.delete(path)).status_code == 202
    removed = await hand.row(ada, rental_id)
    assert (removed.ssh_keys, removed.keys_version) == ([], before.keys_version + 2)
    assert (await ada.http.delete(path)).status_code == 404
    assert (await ada.http.put(path)).status_code == 404
    await ada.http.delete(f"/v1/rentals/{rental_id}")
    assert (await ada.http.delete(path)).status_code == 409


async def test_ids_are_taken_in_any_case(ada) -> None:
    made = await ada.rent()
    assert (await ada.shown(made["id"].lower()))["id"] == made["id"]
