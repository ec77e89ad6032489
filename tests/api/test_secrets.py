"""What is secret is in no answer but the one that makes it, in no log line, event or figure, and sealed in the database."""

from __future__ import annotations

import json
import logging
from uuid import uuid4

import asyncpg
import pytest
import stripe
import structlog

from app.sandbox import Fault
from app.tenancy.secrets import new_secret

from .calling import Caller
from .conftest import PUBLIC_KEY, STRIPE_KEY, WEBHOOK_SECRET, new_world

PRIVATE = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaCanary7f1e\n-----END OPENSSH PRIVATE KEY-----"
CANARIES = {
    "env": "canary-env-5d21",
    "secret": "canary-secret-8c44",
    "script": "canary-script-19aa",
    "private": "b3BlbnNzaCanary7f1e",
    "idempotency": "canary-idem-77b0",
    "cursor": "canary-cursor-33c9",
    "query": "canary-query-0e0e",
    "path": "canary-path-4b4b",
    "header": "canary-header-6f6f",
    "unknown": "canary-unknown-2a$2a",
}


@pytest.fixture
def logged():
    """Every event of every logger, before anything is cleaned from it, and every line after."""
    told: list[str] = []

    def keep(_logger, _method, event):
        told.append(repr(event))
        raise structlog.DropEvent

    class Keeping(logging.Handler):
        def emit(self, record):
            told.append(f"{record.getMessage()} {record.args!r} {record.exc_info!r}")

    before, root, handler = structlog.get_config(), logging.getLogger(), Keeping()
    level = root.level
    structlog.configure(
        processors=[keep],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        cache_logger_on_first_use=False,
    )
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield told
    root.removeHandler(handler)
    root.setLevel(level)
    structlog.configure(**before)


async def exercise(world, tenant):
    """Send canaries wherever they fit, and refuse and break what can be; return every answer."""
    caller, answers = tenant.caller, []

    async def say(method, target, body=None, **options):
        answers.append(await caller.ask(method, target, body, **options))
        return answers[-1]

    wish = {
        "family": "rtx-4090",
        "env": {"PLAIN": CANARIES["env"]},
        "secrets": {"TOKEN": CANARIES["secret"]},
        "startup_script": f"echo {CANARIES['script']}",
    }
    key = CANARIES["idempotency"]
    made = [await say("POST", "/v1/rentals", wish, key=key) for _ in range(2)]
    rental_id = made[0].json()["id"]
    await say("POST", "/v1/rentals", {**wish, "name": "other"}, key=key)
    await world.start(tenant, rental_id)
    await say("POST", "/v1/ssh-keys", {"name": "mine", "public_key": PUBLIC_KEY})
    for wrong in (PRIVATE, f"ssh-ed25519 {CANARIES['private']}"):
        await say("POST", "/v1/ssh-keys", {"name": "oops", "public_key": wrong})
        await say("POST", "/v1/rentals", {"family": "rtx-4090", "ssh_public_keys": [wrong]})
    for bad in (
        {"env": {"9": CANARIES["env"]}},
        {"env": {"PATH": CANARIES["env"]}},
        {"env": {"A": CANARIES["env"] + "\0"}},
        {"secrets": {"A": [CANARIES["secret"]]}},
        {"secrets": {"A": CANARIES["secret"] * 9_000}},
        {"startup_script": CANARIES["script"] + "\x1b"},
        {"startup_script": CANARIES["script"] * 9_000},
        {"max_spend": CANARIES["secret"]},
        {"image": f"{CANARIES['secret']} x"},
        {CANARIES["unknown"]: 1},
    ):
        await say("POST", "/v1/rentals", {"family": "rtx-4090"} | bad)
    for operation in world.operations:
        ids = {name: rental_id if collection == "rentals" else "nothing" for collection, name in operation.owners}
        await say(operation.method, f"{operation.at(**ids)}?cursor={CANARIES['cursor']}", operation.example)
        await say(operation.method, f"{operation.at(**ids)}?q={CANARIES['query']}&{CANARIES['unknown']}=1")
        await say(
            operation.method,
            operation.path.replace("{", CANARIES["path"]).replace("}", ""),
            operation.example,
            x_request_id=f"{CANARIES['header']}!",
            if_match=CANARIES["header"],
            user_agent=CANARIES["header"],
            cookie=CANARIES["header"],
            referer=CANARIES["header"],
        )
    await say("GET", f"/v1/rentals/{rental_id}/events", accept="text/event-stream")
    await say("GET", "/v1/billing/ledger", accept="text/csv")
    await say("GET", "/metrics")
    return answers


async def pay(world, tenant):
    """Pay, save, visit the portal, and let Stripe fail and tell of it; return every answer, and what is secret of it all."""
    caller, bank, answers = tenant.caller, world.sandbox.stripe, []

    async def say(method, target, body=None):
        answers.append(await caller.ask(method, target, body))
        return answers[-1]

    seen = {event["id"] for event in bank.books.store.all("event")}
    await world.furnish(tenant)
    setup = (await say("POST", "/v1/billing/setup-sessions")).json()
    await bank.pay(setup["url"].rpartition("/")[2])
    await say("GET", f"/v1/billing/checkout-sessions/{setup['id']}")
    portal = (await caller.ask("POST", "/v1/billing/portal-sessions")).json()["url"]
    for kind, call, target in (
        ("unauthorized", "create_session", "/v1/billing/setup-sessions"),
        ("server_error", "create_session", "/v1/billing/setup-sessions"),
        ("malformed", "create_portal_session", "/v1/billing/portal-sessions"),
        ("rate_limited", "create_portal_session", "/v1/billing/portal-sessions"),
    ):
        world.sandbox.faults.add(Fault(kind, operation=f"stripe.{call}", times=9))
        assert (await say("POST", target)).status >= 500
        world.sandbox.faults.clear()
    told = [event for event in bank.books.store.all("event") if event["id"] not in seen]
    for event in told:
        body = json.dumps(event, indent=2)
        second = int(world.clock.now().timestamp())
        header = stripe.WebhookSignature.generate_signature_header(body, WEBHOOK_SECRET, second)
        raw = [(b"content-type", b"application/json"), (b"stripe-signature", header.encode())]
        answers.append(await world.stranger.send("POST", "/v1/webhooks/stripe", body.encode(), raw))
        assert answers[-1].status == 200
    for target in ("payments", "refunds", "disputes", "payment-methods", "checkout-sessions", "statements/2026-03"):
        await say("GET", f"/v1/billing/{target}")
    objects = [one for kind in ("payment_intent", "setup_intent") for one in bank.books.store.all(kind)]
    secrets = [one["client_secret"] for one in objects]
    assert any(secret in json.dumps(told) for secret in secrets)
    return answers, [STRIPE_KEY, WEBHOOK_SECRET, portal, portal.rpartition("/")[2], *secrets]


async def everything(world):
    """Return every row of every table as text, what is bytes both as such and as the text that it is."""
    admin = await asyncpg.connect(world.databases.urls.admin)
    try:
        tables = [
            row["tablename"] for row in await admin.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        ]
        rows = {
            name: [row["row"] for row in await admin.fetch(f"SELECT t::text AS row FROM {name} t")] for name in tables
        }
        payloads = await admin.fetch("SELECT payload FROM stripe_events")
        return rows | {"payloads": [row["payload"].decode(errors="replace") for row in payloads]}
    finally:
        await admin.close()


async def test_no_canary_is_seen_again(world, logged) -> None:
    tested = new_world(world.databases, stripe=world.state.topups.stripe)  # made while everything is logged
    tenant = await tested.open()
    unknown = [new_secret("live"), f"hg_live_{uuid4().hex}", f"hg_test_{'x' * 49}"]
    answers = await exercise(tested, tenant)
    answers += [await Caller(tested.app, secret).ask("GET", "/v1/rentals") for secret in unknown]
    made = await tenant.caller.ask("POST", "/v1/api-keys", {"name": "k", "scopes": ["rentals:read"]}, key="make")
    secret = made.json()["secret"]
    again = await tenant.caller.ask("POST", "/v1/api-keys", {"name": "k", "scopes": ["rentals:read"]}, key="make")
    assert again.json()["secret"] is None
    shown = await tenant.caller.ask("GET", f"/v1/api-keys/{made.json()['id']}")
    secrets = [*CANARIES.values(), tenant.caller.secret, secret, *unknown]

    said = [answer.text + json.dumps(answer.headers) for answer in [*answers, again, shown]]
    assert len(said) > 100
    assert {canary for canary in secrets for text in said if canary in text} == set()

    lines = "\n".join(logged)
    assert lines.count("request_id") > 100
    assert {canary for canary in secrets if canary in lines} == set()

    rows = await everything(tested)
    allowed = {("rentals", CANARIES["script"]), ("idempotency_keys", CANARIES["idempotency"])}
    kept = {
        (table, canary) for table, texts in rows.items() for canary in secrets if any(canary in text for text in texts)
    }
    assert rows["events"]
    assert kept <= allowed


async def test_no_secret_of_stripes_is_seen_again(world, logged) -> None:
    tested = new_world(world.databases, stripe=world.state.topups.stripe, sandbox=world.sandbox)
    tenant = await tested.open()
    answers, secrets = await pay(tested, tenant)
    said = [answer.content.decode(errors="replace") + json.dumps(answer.headers) for answer in answers]
    assert {secret for secret in secrets for text in said if secret in text} == set()
    lines = "\n".join(logged)
    assert "stripe.failed" in lines
    assert {secret for secret in secrets if secret in lines} == set()
    rows = await everything(tested)
    assert rows["payloads"]
    assert {
        (table, secret) for table, texts in rows.items() for secret in secrets if any(secret in text for text in texts)
    } == set()


async def test_a_failure_inside_tells_nothing_of_what_was_sent(world, logged, tenant) -> None:
    """The database refuses in its own words, which quote what it was given."""
    tested = new_world(world.databases)
    admin = await asyncpg.connect(world.databases.urls.admin)
    await admin.execute("REVOKE INSERT ON rentals FROM hourglass_api")
    try:
        caller = Caller(tested.app, tenant.caller.secret)
        wish = {"family": "rtx-4090", "name": CANARIES["query"], "secrets": {"TOKEN": CANARIES["secret"]}}
        answer = await caller.ask("POST", "/v1/rentals", wish)
    finally:
        await admin.execute("GRANT INSERT ON rentals TO hourglass_api")
        await admin.close()
    assert (answer.status, answer.json()["code"]) == (500, "internal")
    assert "request_failed" in "".join(logged)
    for canary in (CANARIES["query"], CANARIES["secret"], tenant.caller.secret, "rentals_pkey", "permission denied"):
        assert canary not in answer.text
        assert canary not in "".join(logged)
