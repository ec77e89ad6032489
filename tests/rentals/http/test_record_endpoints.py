"""Events, streams, logs, attempts and receipts."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from app import ledger, wallet
from app.kit.db import driver
from app.kit.ids import RentalId
from app.tenancy.keys import revoke_key

STREAM = {"Accept": "text/event-stream"}
SECRET = "hunter2-the-secret"


def parsed(text):
    """Return the events of a stream: (id, event, data)."""
    told = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "data" in fields:
            told.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return told


async def lived(caller, hand, clock, **wish):
    rental_id = (await caller.rent(**({"family": "rtx-4090"} | wish)))["id"]
    await hand.start(caller, rental_id)
    clock.advance(650)
    await hand.settle(caller, rental_id)
    clock.advance(45)
    await caller.http.delete(f"/v1/rentals/{rental_id}")
    await hand.finish(caller, rental_id)
    return rental_id


async def test_events_are_listed_in_order_by_page(ada, hand, clock) -> None:
    rental_id = await lived(ada, hand, clock)
    path = f"/v1/rentals/{rental_id}/events"
    every = (await ada.get(path)).json()["data"]
    assert [event["type"] for event in every] == [
        "rental.provisioning",
        "rental.running",
        "rental.stopping",
        "rental.stopped",
    ]
    assert [event["seq"] for event in every] == [1, 2, 3, 4]
    assert every[0]["data"] == {"family": "rtx-4090", "provider": "north", "rate_per_hour": "0.364"}
    first = (await ada.get(path, params={"limit": 3})).json()
    rest = (await ada.get(path, params={"limit": 3, "cursor": first["next_cursor"]})).json()
    assert first["data"] + rest["data"] == every
    assert (rest["has_more"], rest["next_cursor"]) == (False, None)
    assert (await ada.get(path, params={"after_seq": 2})).json()["data"] == every[2:]


async def test_a_stream_tells_everything_and_ends_with_the_rental(ada, hand, clock) -> None:
    rental_id = await lived(ada, hand, clock)
    path = f"/v1/rentals/{rental_id}/events"
    listed = (await ada.get(path)).json()["data"]
    answer = await ada.get(path, headers=STREAM)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert parsed(answer.text) == [(event["seq"], event["type"], event) for event in listed]


@pytest.mark.parametrize(("last", "left"), [("2", [3, 4]), ("4", []), ("", [1, 2, 3, 4])])
async def test_a_stream_resumes_after_the_last_event_seen(ada, hand, clock, last, left) -> None:
    rental_id = await lived(ada, hand, clock)
    answer = await ada.get(f"/v1/rentals/{rental_id}/events", headers={**STREAM, "Last-Event-ID": last})
    assert [event[0] for event in parsed(answer.text)] == left


@pytest.mark.parametrize("last", ["x", "-1", "9" * 30, "²"])
async def test_a_last_event_that_is_none_is_refused(ada, last) -> None:
    rental_id = (await ada.rent())["id"]
    headers = [("Accept", STREAM["Accept"]), ("Last-Event-ID", last.encode())]
    answer = await ada.get(f"/v1/rentals/{rental_id}/events", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


async def test_a_stream_of_a_live_rental_goes_on_until_it_ends(ada, hand, clock) -> None:
    """The clock's sleep moves time and, at its third turn, plays the worker."""
    rental_id = (await ada.rent())["id"]
    await hand.start(ada, rental_id)
    waits = Turns(clock)

    async def third():
        await ada.http.delete(f"/v1/rentals/{rental_id}")
        await hand.finish(ada, rental_id)

    waits.at_turn[3] = third
    ada.http._transport.app.state.hourglass.clock = waits
    answer = await ada.get(f"/v1/rentals/{rental_id}/events", headers=STREAM)
    assert [event[1] for event in parsed(answer.text)][-2:] == ["rental.stopping", "rental.stopped"]
    assert waits.turns == 3


async def test_a_stream_ends_when_its_key_is_revoked(ada, hand, clock, state, worker_db) -> None:
    rental_id = (await ada.rent())["id"]
    waits = Turns(clock)

    async def revoked():
        async with worker_db.begin_unscoped() as session:
            await revoke_key(session, ada.key_id, account_id=ada.account_id, at=clock.now())
        state.authenticator.forget(ada.key_id)

    waits.at_turn[2] = revoked
    state.clock = waits
    answer = await ada.get(f"/v1/rentals/{rental_id}/events", headers=STREAM)
    assert [event[1] for event in parsed(answer.text)] == ["rental.provisioning"]
    assert waits.turns == 2
    state.clock = clock


class Turns:
    """A clock that does something when it is asked to wait for the n-th time."""

    def __init__(self, clock):
        self.clock, self.turns, self.at_turn = clock, 0, {}

    def now(self):
        return self.clock.now()

    async def sleep(self, seconds):
        self.clock.advance(seconds)
        self.turns += 1
        if (deed := self.at_turn.get(self.turns)) is not None:
            await deed()


async def test_logs_are_told_from_an_offset_on_until_complete(ada, hand) -> None:
    rental_id = (await ada.rent(family="rtx-4090", startup_script="echo hello"))["id"]
    path = f"/v1/rentals/{rental_id}/logs"
    empty = (await ada.get(path)).json()
    assert (empty["data"], empty["next_offset"], empty["complete"]) == ([], 0, False)
    await hand.log(ada, rental_id, "hällo\n", "two\n", "three\n")
    first = (await ada.get(path, params={"limit": 2})).json()
    assert [(piece["offset"], piece["text"]) for piece in first["data"]] == [(0, "hällo\n"), (7, "two\n")]
    assert (first["next_offset"], first["complete"]) == (11, False)
    await hand.log(ada, rental_id, exit_status=3)
    rest = (await ada.get(path, params={"offset": first["next_offset"]})).json()
    assert [piece["text"] for piece in rest["data"]] == ["three\n"]
    assert (rest["next_offset"], rest["complete"], rest["exit_status"]) == (17, True, 3)


async def test_attempts_are_listed(ada, hand, clock) -> None:
    rental_id = await lived(ada, hand, clock)
    [attempt] = (await ada.get(f"/v1/rentals/{rental_id}/attempts")).json()["data"]
    assert (attempt["number"], attempt["status"], attempt["provider"]) == (1, "ended", "north")
    assert attempt["price_per_hour"] == "0.364"


async def test_a_receipt_comes_with_the_settlement_and_equals_the_ledger(ada, hand, clock, api_db) -> None:
    rental_id = (await ada.rent())["id"]
    path = f"/v1/rentals/{rental_id}/receipt"
    early = await ada.get(path)
    assert (early.status_code, early.json()["code"]) == (409, "invalid_state")
    await ada.http.delete(f"/v1/rentals/{rental_id}")
    free = (await ada.get(path)).json()
    assert (free["charged"], free["billed_seconds"]) == ("0.00", 0)
    assert [line["kind"] for line in free["lines"]] == ["reserve", "release"]

    rental_id = await lived(ada, hand, clock)
    receipt = (await ada.get(f"/v1/rentals/{rental_id}/receipt")).json()
    async with api_db.begin(ada.account_id) as session:
        rows = await driver(session).fetch(
            "SELECT seq, id, kind, amount FROM transfers WHERE rental_id = $1 ORDER BY seq", rental_id
        )
    lines = receipt["lines"]
    assert [(line["seq"], line["transfer_id"], line["kind"]) for line in lines] == [
        (row["seq"], row["id"], row["kind"]) for row in rows
    ]
    assert [Decimal(line["amount"]).scaleb(6) for line in lines] == [row["amount"] for row in rows]
    usage = [line for line in lines if line["kind"] == ledger.Kind.USAGE]
    assert [(line["from_second"], line["to_second"]) for line in usage] == [(0, 650), (650, 695)]
    assert sum(Decimal(line["amount"]) for line in usage) == Decimal(receipt["charged"])
    assert receipt["billed_seconds"] == 695
    assert Decimal(receipt["charged"]).scaleb(6) == 364_000 * 695 // 3600
    assert receipt["total"] == receipt["charged"]
    assert receipt["rate"]["components"] == {"gpu": "0.36", "disk": "0.004"}


async def test_a_refund_for_a_bad_host_stands_on_the_receipt(ada, hand, clock, worker_db) -> None:
    rental_id = RentalId(await lived(ada, hand, clock))
    async with worker_db.begin_unscoped() as session:
        await wallet.refund_host_fault(
            session, account_id=ada.account_id, rental_id=rental_id, at=clock.now(), reason="the host was lost"
        )
    receipt = (await ada.get(f"/v1/rentals/{rental_id}/receipt")).json()
    assert (receipt["refunded"], receipt["total"]) == (receipt["charged"], "0.00")
    last = receipt["lines"][-1]
    assert (last["kind"], last["amount"], last["description"]) == (
        "host_fault_refund",
        receipt["charged"],
        "the host was lost",
    )
    assert (await ada.shown(rental_id))["cost"]["refunded"] == receipt["refunded"]


async def test_a_long_receipt_is_told_in_parts(ada, hand, clock) -> None:
    rental_id = await lived(ada, hand, clock)
    path = f"/v1/rentals/{rental_id}/receipt"
    whole = (await ada.get(path)).json()
    lines, after = [], 0
    while after is not None:
        part = (await ada.get(path, params={"limit": 2, "after_seq": after})).json()
        lines += part["lines"]
        after = part["next_after_seq"]
        assert part["charged"] == whole["charged"]
    assert lines == whole["lines"]


async def test_secrets_are_in_no_answer_event_row_or_log(ada, hand, clock, api_db, capsys) -> None:
    wish = {"family": "rtx-4090", "env": {"PLAIN": SECRET}, "secrets": {"TOKEN": SECRET}}
    made = await ada.post("/v1/rentals", wish, key="same")
    again = await ada.post("/v1/rentals", wish, key="same")
    rental_id = made.json()["id"]
    await hand.start(ada, rental_id)
    texts = [made.text, again.text]
    texts += [(await ada.get("/v1/rentals")).text]
    texts += [
        (await ada.get(f"/v1/rentals/{rental_id}{path}")).text
        for path in ("", "/events", "/logs", "/attempts", "/meter")
    ]
    texts += [(await ada.http.delete(f"/v1/rentals/{rental_id}")).text]
    await hand.finish(ada, rental_id)
    texts += [(await ada.get(f"/v1/rentals/{rental_id}{path}")).text for path in ("/receipt", "/events")]
    texts += [(await ada.get(f"/v1/rentals/{rental_id}/events", headers=STREAM)).text]
    async with api_db.begin(ada.account_id) as session:
        for table in ("rentals", "attempts", "events", "idempotency_keys", "transfers", "holds"):
            rows = await driver(session).fetch(f"SELECT t::text FROM {table} t")
            texts += [row[0] for row in rows]
    printed = capsys.readouterr()
    assert not any(SECRET in text for text in [*texts, printed.out, printed.err])
    assert (await ada.shown(rental_id))["env_names"] == ["PLAIN", "TOKEN"]
