"""Webhooks over HTTP: made once, shown without their secret, changed, tried, deleted; and nobody else's."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook

from app.kit.ids import TeamId
from tests.notifications.conftest import VAULT, key

URL = "https://hooks.example.com/in"


async def test_a_webhook_shows_its_secret_once(office, client):
    body = {"url": URL, "description": "ours", "types": ["rental.*", "budget.exceeded"]}
    same = key()
    made = await client.post("/v1/webhooks", json=body, headers=same)
    again = await client.post("/v1/webhooks", json=body, headers=same)
    webhook = made.json()
    assert made.status_code == 201
    assert made.headers["location"] == f"/v1/webhooks/{webhook['id']}"
    assert (webhook["url"], webhook["description"], webhook["types"]) == (URL, "ours", body["types"])
    assert (webhook["object"], webhook["enabled"], webhook["disabled_because"]) == ("webhook", True, None)
    assert len(base64.b64decode(webhook["secret"].removeprefix("whsec_"))) == 32
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == webhook | {"secret": None}
    one = await client.get(f"/v1/webhooks/{webhook['id']}")
    listed = await client.get("/v1/webhooks")
    assert one.json() == listed.json()["data"][0] == webhook | {"secret": None}
    [row] = await office.fetch("SELECT * FROM webhook_endpoints WHERE id = $1", webhook["id"])
    assert webhook["secret"].encode() not in row["sealed_secret"]
    assert VAULT.open(row["sealed_secret"], cell=f"webhook_endpoints.secret:{row['account_id']}:{row['id']}") == webhook["secret"]  # fmt: skip


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/", "https://localhost/", "https://127.0.0.2/", "https://2130706434/", "https://0x7f.1/",
        "https://0177.0.0.2/", "https://[::1]/", "https://[::ffff:10.0.0.1]/", "https://169.254.169.254/latest/meta-data",
        "https://u:p@hooks.example.com/", "https://hooks.example.com:22/", "https://hooks.example.com/#x", "https://[fe80::1%25eth0]/",
        "nonsense", "https://hooks.example.com/\u202e",
    ],
)  # fmt: skip
async def test_a_url_that_leads_inside_is_refused_when_it_is_named(client, url):
    told = await client.post("/v1/webhooks", json={"url": url}, headers=key())
    assert (told.status_code, told.json()["code"]) == (422, "validation_failed")
    assert told.json()["errors"][0]["pointer"] == "/url"
    made = await client.post("/v1/webhooks", json={"url": URL}, headers=key())
    told = await client.patch(f"/v1/webhooks/{made.json()['id']}", json={"url": url})
    assert (told.status_code, told.json()["errors"][0]["code"]) == (422, "url_refused")


@pytest.mark.parametrize(
    "change",
    [
        {"types": ["RENTAL.*"]}, {"types": ["rental"]}, {"types": ["rental.*.x"]}, {"types": [""]}, {"types": ["a.b"] * 51},
        {"description": "x" * 201}, {"description": "\x00"}, {"secret": "whsec_mine"}, {"account_id": "acct_1"}, {"url": None},
        {"url": 1}, {"url": ""},
    ],
)  # fmt: skip
async def test_unfit_terms_are_refused(client, change):
    told = await client.post("/v1/webhooks", json={"url": URL} | change, headers=key())
    assert (told.status_code, told.json()["code"]) == (422, "validation_failed")


async def test_a_change_is_for_who_read_the_newest(office, client):
    webhook = await office.webhook(client, URL)
    path = f"/v1/webhooks/{webhook['id']}"
    tag = (await client.get(path)).headers["etag"]
    changed = await client.patch(path, json={"types": ["wallet.low"], "description": "b"}, headers={"If-Match": tag})
    assert (changed.json()["types"], changed.json()["url"]) == (["wallet.low"], URL)
    late = await client.patch(path, json={"enabled": False}, headers={"If-Match": tag})
    assert (late.status_code, late.json()["code"]) == (412, "etag_mismatch")
    assert late.headers["etag"] == changed.headers["etag"]
    off = await client.patch(path, json={"enabled": False})
    assert (off.json()["enabled"], off.json()["disabled_because"]) == (False, "customer")
    on = await client.patch(path, json={"enabled": True})
    assert (on.json()["enabled"], on.json()["disabled_because"]) == (True, None)


async def test_what_stands_behind_the_host_may_be_a_secret_and_is_told_to_no_reader_of_the_audit(
    office, client, account
):
    webhook = await office.webhook(client, f"{URL}?token=canary")
    await client.patch(f"/v1/webhooks/{webhook['id']}", json={"url": f"{URL}/canary", "description": "new"})
    rows = await office.fetch(
        "SELECT action, target, details FROM audit_entries WHERE account_id = $1 ORDER BY seq", account
    )
    assert [(row["action"], row["target"]) for row in rows] == [
        ("webhook.created", webhook["id"]),
        ("webhook.updated", webhook["id"]),
    ]
    assert "canary" not in str([row["details"] for row in rows])
    assert "https://hooks.example.com" in str(rows[0]["details"])


async def test_a_deleted_webhook_is_gone_with_its_secrets(office, client):
    webhook = await office.webhook(client, URL)
    path = f"/v1/webhooks/{webhook['id']}"
    assert (await client.delete(path)).status_code == 204
    for method, target in (
        ("GET", path), ("DELETE", path), ("GET", f"{path}/deliveries"), ("PATCH", path), ("POST", f"{path}/test"),
        ("POST", f"{path}/rotate-secret"),
    ):  # fmt: skip
        body = {} if method in {"PATCH", "POST"} and not target.endswith("/test") else None
        told = await client.request(method, target, json=body, headers=key())
        assert (told.status_code, told.json()["code"]) == (404, "not_found"), (method, target)
    assert (await client.get("/v1/webhooks")).json()["data"] == []
    [row] = await office.fetch("SELECT * FROM webhook_endpoints WHERE id = $1", webhook["id"])
    assert (row["state"], bytes(row["sealed_secret"]), row["sealed_previous"]) == ("deleted", b"", None)


async def test_twenty_webhooks_are_enough(office, client):
    made = [await office.webhook(client, f"{URL}/{n}") for n in range(20)]
    told = await client.post("/v1/webhooks", json={"url": URL}, headers=key())
    assert (told.status_code, told.json()["code"]) == (409, "invalid_state")
    seen, params = [], {"limit": 8}
    while params:
        page = (await client.get("/v1/webhooks", params=params)).json()
        seen += [one["id"] for one in page["data"]]
        params = {"limit": 8, "cursor": page["next_cursor"]} if page["has_more"] else None
    assert seen == [one["id"] for one in reversed(made)]
    await client.delete(f"/v1/webhooks/{seen[0]}")
    await office.webhook(client, URL)


async def test_what_is_anothers_is_not_there(office, client, receiver):
    webhook = await office.webhook(client, receiver.url())
    sent = await client.post(f"/v1/webhooks/{webhook['id']}/test", headers=key())
    other, _ = await office.open()
    path = f"/v1/webhooks/{webhook['id']}"
    async with office.caller(other) as stranger:
        mine = await office.webhook(stranger, URL)
        for method, target in (
            ("GET", path), ("PATCH", path), ("DELETE", path), ("POST", f"{path}/test"), ("POST", f"{path}/rotate-secret"),
            ("GET", f"{path}/deliveries"), ("GET", f"{path}/deliveries/{sent.json()['id']}"),
            ("POST", f"{path}/deliveries/{sent.json()['id']}/redeliver"),
            ("GET", f"/v1/webhooks/{mine['id']}/deliveries/{sent.json()['id']}"),
            ("POST", f"/v1/webhooks/{mine['id']}/deliveries/{sent.json()['id']}/redeliver"),
        ):  # fmt: skip
            body = {} if method == "PATCH" or target.endswith("rotate-secret") else None
            told = await stranger.request(method, target, json=body, headers=key())
            assert (told.status_code, told.json()["code"]) == (404, "not_found"), (method, target)
        assert [one["id"] for one in (await stranger.get("/v1/webhooks")).json()["data"]] == [mine["id"]]


async def test_only_who_administers_the_whole_account_may_have_all_of_it_told(office, account):
    for scopes, more, code in (
        ({"keys:write", "rentals:read"}, {}, "scope_missing"),
        ({"admin"}, {"reach": frozenset({TeamId.new()})}, "forbidden"),
    ):
        async with office.caller(account, scopes=scopes, **more) as limited:
            for told in (
                await limited.get("/v1/webhooks"),
                await limited.post("/v1/webhooks", json={"url": URL}, headers=key()),
            ):
                assert (told.status_code, told.json()["code"]) == (403, code)


async def test_a_rotated_secret_and_its_successor_overlap(office, client, receiver):
    webhook = await office.webhook(client, receiver.url())
    path = f"/v1/webhooks/{webhook['id']}/rotate-secret"
    same = key()
    turned = await client.post(path, json={"overlap_seconds": 3600}, headers=same)
    again = await client.post(path, json={"overlap_seconds": 3600}, headers=same)
    assert turned.status_code == 201
    assert turned.json()["secret"] != webhook["secret"]
    assert turned.json()["previous_secret_until"] == "2026-03-01T13:00:00.000Z"
    assert again.json() == turned.json() | {"secret": None}
    told = []
    for after in (0, 3599, 1):
        office.later(seconds=after)
        await client.post(f"/v1/webhooks/{webhook['id']}/test", headers=key())
        assert await office.send() == {"delivered": 1}
        told.append(_secrets_that_verify(receiver.requests[-1], [webhook["secret"], turned.json()["secret"]]))
    assert told == [[True, True], [True, True], [False, True]]
    at_once = await client.post(path, json={"overlap_seconds": 0}, headers=key())
    assert at_once.json()["previous_secret_until"] is None
    await client.post(f"/v1/webhooks/{webhook['id']}/test", headers=key())
    await office.send()
    assert _secrets_that_verify(receiver.requests[-1], [turned.json()["secret"], at_once.json()["secret"]]) == [
        False,
        True,
    ]


def _secrets_that_verify(request, secrets):
    """Verify by the standard's own library, but for the age of the message: its clock is the machine's."""
    given = request.headers["webhook-signature"].split(" ")
    at = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), UTC)
    return [
        Webhook(secret).sign(request.headers["webhook-id"], at, request.body.decode()) in given for secret in secrets
    ]
