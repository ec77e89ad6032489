"""Webhooks as they are typed, on an API with nothing else."""

from __future__ import annotations

import pytest

from app.cli.errors import Exit, UsageError
from app.kit.ids import ApiKeyId, WebhookId
from app.notifications.endpoints import ROUTERS
from app.web import SCOPES, Principal
from tests.notifications.conftest import HandClock, State

from .serving import serving, typed_at

URL = "https://hooks.example.com/in"


@pytest.fixture
async def run(api_db, account, at, tmp_path):
    """Run one of the commands for webhooks, for somebody who may do everything."""
    state = State(api_db, HandClock(at))
    state.callers["secret"] = Principal(account, ApiKeyId.new(), None, SCOPES, live=True, name="test")
    async with serving(state, *ROUTERS) as url:
        typed = typed_at(url, "secret", tmp_path)
        yield lambda *arguments: typed("webhooks", *arguments)


async def test_a_webhook_is_added_given_another_secret_turned_off_and_on_and_removed(run, told):
    assert (await run("list")).stdout == "There are no webhooks.\n"
    made = await told("add", URL, "--event", "rental.*", "--event", "budget.exceeded", "--about", "ours")
    assert (made["url"], made["types"], made["description"]) == (URL, ["rental.*", "budget.exceeded"], "ours")
    turned = await told("rotate", made["id"], "--overlap", "2h")
    assert turned["secret"].startswith("whsec_")
    assert turned["secret"] != made["secret"]
    assert turned["previous_secret_until"]
    assert (await told("disable", made["id"]))["disabled_because"] == "customer"
    assert (await told("enable", made["id"]))["enabled"] is True
    listed = (await run("list")).stdout
    assert URL in listed
    assert "rental.*, budget.exceeded" in listed
    assert "whsec_" not in listed
    assert (await run("remove", made["id"])).exception.exit_code == Exit.USAGE, "nobody can be asked"
    assert (await told("remove", made["id"], "--yes")) == {"id": made["id"], "removed": True}
    assert (await told("list"))["data"] == []


async def test_a_webhook_is_tried_and_what_became_of_it_is_shown_and_sent_again(run, told):
    made = await told("add", URL)
    assert made["types"] == []
    assert (await run("deliveries", made["id"])).stdout == "Nothing was sent yet.\n"
    sent = await told("test", made["id"])
    assert (sent["type"], sent["state"]) == ("webhook.test", "pending")
    assert "webhook.test" in (await run("deliveries", made["id"])).stdout
    again = await told("redeliver", made["id"], sent["id"])
    assert again["event_id"] == sent["event_id"]


async def test_what_is_no_webhook_is_told_before_anything_is_sent(run):
    assert (await run("add", "http://127.0.0.1/in")).exception.exit_code == Exit.USAGE
    assert (await run("test", WebhookId.new())).exception.exit_code == Exit.NOT_FOUND
    for arguments in (("test", "../account"), ("deliveries", "nonsense"), ("redeliver", WebhookId.new(), "nonsense")):
        assert isinstance((await run(*arguments)).exception, UsageError), arguments
