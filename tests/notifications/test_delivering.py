"""Messages on their way: signed, sent again until taken or given up, each under one id, each try in the log."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import pytest
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from app.kit.clock import SystemClock
from app.kit.db import driver
from app.kit.leases import Holding, hold_share
from app.kit.reconcile import Round, Runner
from app.notifications.reconcilers import tidying
from app.notifications.webhooks import queries
from app.notifications.webhooks.configuring import delete, lock_endpoint
from tests.notifications.conftest import NAMES, key
from tests.receiving import OK, receiving
from tests.waiting import waited_for

ANSWER = "HTTP/1.1 {} X\r\n{}Content-Length: 3\r\n\r\nno\0"


def answering(status, *headers):
    return ANSWER.format(status, "".join(f"{header}\r\n" for header in headers)).encode()


async def test_an_event_arrives_once_signed_by_the_standard(office, client, account, receiver):
    office.clock.at = SystemClock().now()  # the standard's own library asks the machine how old a message is
    webhook = await office.webhook(client, receiver.url())
    rental = await office.rental(account)
    await office.happen(account, "rental.running", rental, attempt=1, rate_micros=2_800_000)
    assert await office.tell() == {"told": 1}
    assert await office.send() == {"delivered": 1}
    assert (await office.tell(), await office.send()) == ({}, {})
    [request] = receiver.requests
    told = Webhook(webhook["secret"]).verify(request.body, request.headers)
    [event] = (await client.get("/v1/events", params={"type": "rental.*"})).json()["data"]
    assert told == {"type": "rental.running", "timestamp": event["at"], "data": event}
    assert (event["rental_id"], event["data"]) == (rental, {"attempt": 1, "rate": "2.80"})
    assert request.headers["webhook-id"] == event["id"]
    assert request.headers["content-type"] == "application/json"
    with pytest.raises(WebhookVerificationError):
        Webhook(webhook["secret"]).verify(request.body + b" ", request.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(webhook["secret"]).verify(request.body, request.headers | {"webhook-id": "evt_other"})
    [delivery] = await office.deliveries(client, webhook)
    one = (await client.get(f"/v1/webhooks/{webhook['id']}/deliveries/{delivery['id']}")).json()
    assert one["payload"] == told
    assert (one["state"], one["tries"], one["last_status"], one["last_error"]) == ("delivered", 1, 200, None)
    [attempt] = one["attempts"]
    assert (attempt["number"], attempt["status"], attempt["answer"]) == (1, 200, "ok")


async def test_each_webhook_gets_what_it_asked_for_from_then_on(office, client, account, receiver):
    await office.happen(account, "rental.running")
    every = await office.webhook(client, receiver.url(path="/every"))
    some = await office.webhook(client, receiver.url(path="/some"), types=["rental.*", "payment.made"])
    off = await office.webhook(client, receiver.url(path="/off"))
    await client.patch(f"/v1/webhooks/{off['id']}", json={"enabled": False})
    await office.tell()
    for webhook in (every, some):
        assert [one["type"] for one in await office.deliveries(client, webhook)] == ["rental.running"]
    for type_ in ("payment.made", "rentals.other", "rental.failed", "payment.made_up"):
        await office.happen(account, type_)
    other, _ = await office.open()
    await office.happen(other, "rental.failed")
    await office.tell()
    assert sorted(one["type"] for one in await office.deliveries(client, some)) == [
        "payment.made", "rental.failed", "rental.running",
    ]  # fmt: skip
    assert len(await office.deliveries(client, every)) == 5
    assert await office.deliveries(client, off) == []
    assert await office.send() == {"delivered": 8}
    assert [request.line for request in receiver.requests].count("POST /some HTTP/1.1") == 3


async def test_what_is_not_taken_is_sent_again_the_same_under_the_same_id(office, client, account, receiver):
    webhook = await office.webhook(client, receiver.url())
    await office.happen(account, "rental.running")
    await office.tell()
    receiver.answer = answering(500)
    for least, most in ((4, 6), (24, 36), (96, 144)):
        assert await office.send() == {"deferred": 1}
        office.later(seconds=least - 0.1)
        assert await office.send() == {}
        office.later(seconds=most - least + 0.2)
    receiver.answer = OK
    assert await office.send() == {"delivered": 1}
    assert len({request.body for request in receiver.requests}) == 1
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
    assert len({request.headers["webhook-timestamp"] for request in receiver.requests}) == 4
    [delivery] = await office.deliveries(client, webhook, state="delivered")
    one = (await client.get(f"/v1/webhooks/{webhook['id']}/deliveries/{delivery['id']}")).json()
    assert [attempt["status"] for attempt in one["attempts"]] == [500, 500, 500, 200]
    assert one["attempts"][0]["error"] == "answered 500"
    assert one["attempts"][0]["answer"] == "no\N{REPLACEMENT CHARACTER}"
    assert (await client.get(f"/v1/webhooks/{webhook['id']}")).json()["failing_since"] is None


async def test_after_three_days_a_webhook_is_disabled_and_its_owner_told(office, client, account, receiver):
    webhook = await office.webhook(client, receiver.url())
    await office.happen(account, "rental.running")
    await office.tell()
    receiver.answer = answering(503)
    began, outcomes = office.clock.at, []
    while not outcomes or "disabled_failing" not in outcomes[-1]:
        outcomes.append(await office.send())
        [row] = await office.fetch("SELECT next_at FROM webhook_deliveries WHERE account_id = $1", account)
        office.clock.at = row["next_at"] or office.clock.at
    assert office.clock.at - began == timedelta(days=3)
    assert 12 < len(outcomes) < 20
    assert outcomes[:-1] == [{"deferred": 1}] * (len(outcomes) - 1)
    shown = (await client.get(f"/v1/webhooks/{webhook['id']}")).json()
    assert (shown["enabled"], shown["disabled_because"]) == (False, "failing")
    [delivery] = await office.deliveries(client, webhook)
    assert (delivery["state"], delivery["last_error"], delivery["next_at"]) == ("failed", "answered 503", None)
    await office.happen(account, "rental.stopped")
    assert set(await office.tell()) == {"told"}
    assert await office.deliveries(client, webhook) == [delivery]
    [event] = (await client.get("/v1/events", params={"type": "webhook.*"})).json()["data"]
    assert (event["type"], event["subject"], event["data"]["reason"]) == ("webhook.disabled", webhook["id"], "failing")
    [mail] = await office.fetch("SELECT * FROM mails WHERE account_id = $1", account)
    assert (mail["template"], mail["data"]["url"]) == ("webhook_disabled", "https://hooks.example.com")
    [entry] = await office.fetch("SELECT * FROM audit_entries WHERE account_id = $1 AND action = 'webhook.disabled'", account)  # fmt: skip
    assert entry["target"] == webhook["id"]


async def test_one_success_forgives_what_failed_before(office, client, account, receiver):
    webhook = await office.webhook(client, receiver.url())
    await office.happen(account, "rental.failed")
    await office.tell()
    receiver.answer = answering(500)
    await office.send()
    assert (await client.get(f"/v1/webhooks/{webhook['id']}")).json()["failing_since"] is not None
    office.later(days=2, hours=23)
    receiver.answer = OK
    await office.happen(account, "rental.running")
    await office.tell()
    assert await office.send() == {"delivered": 2}
    assert (await client.get(f"/v1/webhooks/{webhook['id']}")).json()["failing_since"] is None


async def test_a_receiver_that_is_gone_is_asked_no_more(office, client, account, receiver):
    webhook = await office.webhook(client, receiver.url())
    for type_ in ("rental.running", "rental.stopped"):
        await office.happen(account, type_)
    await office.tell()
    receiver.answer = answering(410)
    outcomes = await office.send()
    assert outcomes["disabled_gone"] == 1
    shown = (await client.get(f"/v1/webhooks/{webhook['id']}")).json()
    assert (shown["enabled"], shown["disabled_because"]) == (False, "gone")
    assert {one["state"] for one in await office.deliveries(client, webhook)} == {"failed"}
    office.later(days=1)
    assert await office.send() == {}


async def test_a_receiver_that_asks_to_wait_is_left_alone_for_that_long(office, client, account, receiver):
    await office.webhook(client, receiver.url())
    await office.happen(account, "rental.running")
    await office.tell()
    receiver.answer = answering(429, "Retry-After: 600")
    assert await office.send() == {"deferred": 1}
    office.later(seconds=599)
    assert await office.send() == {}
    office.later(seconds=1)
    receiver.answer = OK
    assert await office.send() == {"delivered": 1}


async def test_a_redirect_is_a_failure_that_says_so(office, client, account, receiver, authority):
    async with receiving(authority.server) as inner:
        webhook = await office.webhook(client, receiver.url())
        await office.happen(account, "rental.running")
        await office.tell()
        receiver.answer = answering(302, f"Location: {inner.url()}")
        assert await office.send() == {"deferred": 1}
        assert inner.connections == 0
    [delivery] = await office.deliveries(client, webhook)
    assert delivery["last_error"] == "answered 302 (redirects are not followed)"


@pytest.mark.parametrize("address", ["10.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1", "64:ff9b::a9fe:a9fe"])
async def test_a_name_that_turns_inside_is_refused_when_it_is_used(office, client, account, receiver, address):
    webhook = await office.webhook(client, receiver.url("a.rebinding.example.net"))
    await office.happen(account, "rental.running")
    await office.tell()
    assert await office.send() == {"delivered": 1}
    await office.happen(account, "rental.stopped")
    await office.tell()
    office.egress.resolve.known["a.rebinding.example.net"] = [address]
    assert await office.send() == {"deferred": 1}
    assert receiver.connections == 1
    [delivery] = await office.deliveries(client, webhook, state="pending")
    assert delivery["last_error"] == "refused: the host has an address that is not public"
    assert address not in str(delivery)


async def test_what_failed_or_arrived_can_be_sent_again(office, client, account, receiver):
    webhook = await office.webhook(client, receiver.url())
    await office.happen(account, "rental.running")
    await office.tell()
    await office.send()
    [delivery] = await office.deliveries(client, webhook)
    path = f"/v1/webhooks/{webhook['id']}/deliveries/{delivery['id']}"
    assert (await client.post(f"{path}/redeliver")).json()["code"] == "idempotency_key_missing"
    same = key()
    again = await client.post(f"{path}/redeliver", headers=same)
    assert (again.status_code, again.json()["state"], again.headers["location"]) == (202, "pending", path)
    office.later(seconds=1)
    receiver.answer = answering(500)
    assert await office.send() == {"deferred": 1}
    assert (await client.post(f"{path}/redeliver", headers=same)).headers["idempotency-replayed"] == "true"
    [row] = await office.fetch("SELECT * FROM webhook_deliveries WHERE account_id = $1", account)
    assert row["next_at"] - office.clock.at < timedelta(seconds=7)  # the pauses begin anew
    assert (await client.post(f"{path}/redeliver", headers=key())).status_code == 202
    receiver.answer = OK
    assert await office.send() == {"delivered": 1}
    assert [request.headers["webhook-id"] for request in receiver.requests] == [delivery["event_id"]] * 3
    assert len((await client.get(path)).json()["attempts"]) == 3
    await client.patch(f"/v1/webhooks/{webhook['id']}", json={"enabled": False})
    told = await client.post(f"{path}/redeliver", headers=key())
    assert (told.status_code, told.json()["code"]) == (409, "invalid_state")


async def test_a_test_goes_to_its_webhook_alone_and_once(office, client, account, receiver):
    tried = await office.webhook(client, receiver.url(path="/tried"))
    await office.webhook(client, receiver.url(path="/other"))
    await client.patch(f"/v1/webhooks/{tried['id']}", json={"enabled": False})
    same = key()
    sent = await client.post(f"/v1/webhooks/{tried['id']}/test", headers=same)
    assert (await client.post(f"/v1/webhooks/{tried['id']}/test", headers=same)).json() == sent.json()
    assert (sent.status_code, sent.json()["state"], sent.json()["type"]) == (202, "pending", "webhook.test")
    assert await office.tell() == {"told": 1}
    receiver.answer = answering(500)
    assert await office.send() == {"failed": 1}
    office.later(days=4)
    assert await office.send() == {}
    assert [request.line for request in receiver.requests] == ["POST /tried HTTP/1.1"]
    assert json.loads(receiver.requests[0].body)["data"]["data"]["webhook_id"] == tried["id"]
    shown = (await client.get(sent.headers["location"])).json()
    assert (shown["state"], shown["last_status"]) == ("failed", 500)
    assert (await client.get(f"/v1/webhooks/{tried['id']}")).json()["failing_since"] is None


async def test_a_slow_receiver_delays_its_own_messages_alone(office, client, account, receiver, authority):
    release = asyncio.Event()

    async def wait(writer, _request):
        await release.wait()
        writer.write(OK)

    async with receiving(authority.server) as slow:
        slow.answer = wait
        await office.webhook(client, slow.url())
        for _ in range(12):
            await office.happen(account, "rental.running")
        await office.tell()
        holding = await hold_share(office.databases.worker, office.worker, NAMES)
        runner = Runner(office.delivering())
        first = await runner.begin(Round(office.clock.at, holding))
        await office.webhook(client, receiver.url())
        for _ in range(12):
            await office.happen(account, "rental.running")
        await office.tell()
        done = []
        while len(receiver.requests) < 12:
            done += await runner.begin(Round(office.clock.at, holding))
            await asyncio.sleep(0.05)
        assert slow.open_now == slow.open_most == 4
        release.set()
        await asyncio.gather(*first, *done)
        while await office.send():
            pass
        assert len({request.headers["webhook-id"] for request in slow.requests}) == 24
        assert slow.open_most == 4


async def test_a_try_that_dies_with_its_worker_is_repeated_under_the_same_id(office, client, account, receiver):
    webhook = await office.webhook(client, receiver.url())
    await office.happen(account, "rental.running")
    await office.tell()
    taken = asyncio.Event()

    async def hang(_writer, _request):
        taken.set()
        await asyncio.sleep(30)

    receiver.answer = hang
    dying = asyncio.create_task(office.send())
    await taken.wait()
    dying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dying
    await asyncio.sleep(0.05)
    receiver.answer = OK
    office.later(seconds=29)
    assert await office.send() == {}
    office.later(seconds=1)
    assert await office.send() == {"delivered": 1}
    first, second = receiver.requests
    assert (first.headers["webhook-id"], first.body) == (second.headers["webhook-id"], second.body)
    [delivery] = await office.deliveries(client, webhook)
    assert (delivery["state"], delivery["tries"]) == ("delivered", 2)


async def test_two_workers_send_a_message_once(office, client, account, receiver):
    await office.webhook(client, receiver.url())
    await office.happen(account, "rental.running")
    await office.tell()
    holding = await hold_share(office.databases.worker, office.worker, NAMES)
    runners = [Runner(office.delivering()) for _ in range(2)]
    counts = await asyncio.gather(*(runner.run_once(Round(office.clock.at, holding)) for runner in runners))
    assert sum(count["delivered"] for count in counts) == 1
    assert len(receiver.requests) == 1


async def test_a_worker_that_lost_its_share_sends_nothing(office, client, account, receiver):
    await office.webhook(client, receiver.url())
    await office.happen(account, "rental.running")
    await office.tell()
    holding = await hold_share(office.databases.worker, office.worker, NAMES)
    stale = Holding(office.worker, {name: fence - 1 for name, fence in holding.fences.items()})
    assert await Runner(office.delivering()).run_once(Round(office.clock.at, stale)) == {"stale_fence": 1}
    nobody = Holding(office.worker, {})
    assert await Runner(office.delivering()).run_once(Round(office.clock.at, nobody)) == {}
    assert receiver.connections == 0
    [row] = await office.fetch("SELECT tries, state FROM webhook_deliveries WHERE account_id = $1", account)
    assert tuple(row) == (0, "pending")


async def test_nothing_waits_for_a_webhook_that_was_disabled_or_deleted(office, client, account, receiver):
    ended = []
    for method, body in (("PATCH", {"enabled": False}), ("DELETE", None)):
        webhook = await office.webhook(client, receiver.url())
        await office.happen(account, "rental.running")
        await office.tell()
        await client.request(method, f"/v1/webhooks/{webhook['id']}", json=body)
        assert await office.send() == {}
        rows = await office.fetch(
            "SELECT state, last_error FROM webhook_deliveries WHERE endpoint_id = $1", webhook["id"]
        )
        ended += [tuple(row) for row in rows]
    assert ended == [("failed", "the webhook was disabled"), ("failed", "the webhook was deleted")]
    assert receiver.connections == 0


async def test_what_ended_is_forgotten_after_thirty_days_and_what_waits_never(office, client, account, receiver):
    kept = await office.webhook(client, receiver.url(path="/kept"))
    gone = await office.webhook(client, receiver.url(path="/gone"))
    await office.happen(account, "rental.running")
    await office.tell()
    await office.send()
    await client.delete(f"/v1/webhooks/{gone['id']}")
    office.later(days=30)
    await office.happen(account, "rental.stopped")
    await office.tell()
    holding = Holding(office.worker, {})
    for ahead, left in ((0, {"rental.running", "rental.stopped"}), (1, {"rental.stopped"}), (1, {"rental.stopped"})):
        office.later(seconds=ahead)
        assert await Runner(tidying(office.databases.worker)).run_once(Round(office.clock.at, holding)) == {"tidied": 1}
        rows = await office.fetch("SELECT type FROM webhook_deliveries WHERE account_id = $1", account)
        assert {row["type"] for row in rows} == left
    rows = await office.fetch("SELECT id FROM webhook_endpoints WHERE account_id = $1", account)
    assert [row["id"] for row in rows] == [kept["id"]]
    assert await office.fetch("SELECT 1 FROM webhook_attempts WHERE account_id = $1", account) == []


async def test_who_disables_a_webhook_goes_before_a_try_that_ends_meanwhile(office, client, account, receiver):
    webhook = await office.webhook(client, receiver.url())
    await office.happen(account, "rental.running")
    await office.tell()
    receiver.answer = answering(500)
    async with office.databases.worker.begin_unscoped() as session:
        await lock_endpoint(session, webhook["id"], account_id=account)
        sending = asyncio.create_task(office.send())
        await waited_for(office.databases.worker, session)
        await driver(session).execute("SET LOCAL lock_timeout = '500ms'")
        await driver(session).execute(queries.GIVE_UP, account, webhook["id"], office.clock.at, "disabled")
    assert await sending == {"deferred": 1}
    [delivery] = await office.deliveries(client, webhook)
    assert (delivery["state"], delivery["last_error"]) == ("failed", "disabled")


async def test_nothing_is_sent_again_to_a_webhook_that_is_deleted_in_that_moment(office, client, account, receiver):
    webhook = await office.webhook(client, receiver.url())
    await office.happen(account, "rental.running")
    await office.tell()
    await office.send()
    [delivery] = await office.deliveries(client, webhook)
    path = f"/v1/webhooks/{webhook['id']}/deliveries/{delivery['id']}/redeliver"
    async with office.databases.worker.begin_unscoped() as session:
        row = await lock_endpoint(session, webhook["id"], account_id=account)
        asking = asyncio.create_task(client.post(path, headers=key()))
        await waited_for(office.databases.worker, session)
        await delete(session, row, at=office.clock.at)
    assert (await asking).status_code == 404
    [row] = await office.fetch("SELECT state FROM webhook_deliveries WHERE account_id = $1", account)
    assert row["state"] == "delivered"
