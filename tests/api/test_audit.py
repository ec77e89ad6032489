"""Every request that changes something is in the audit of its account, once, and no request that changes nothing."""

from __future__ import annotations

import json

import asyncssh
import pytest
from fastapi.routing import APIRoute, iter_route_contexts

from app import audit
from app.kit.db import driver
from app.web.work import _Working, is_consulting

from . import paying
from .operations import PUBLIC

SAFE = {"GET", "HEAD", "OPTIONS"}
TOLD_BY_THEMSELVES = {
    "create_checkout_session",
    "create_setup_session",
    "create_portal_session",
    "delete_payment_method",
    "refresh_catalog",
    "open_account",
    "accept_invitation",
    "choose_account",
    "sign_out",
    "end_session",
    "end_other_sessions",
    "set_own_notifications",
    "leave_account",
    "leave_team",
    "transfer_account",
}
"""Operations with transactions of their own, in which they tell what they do: no witness stands beside them."""
LAST = ("stop_rental", "transfer_account", "leave_account", "delete_")
"""What takes away what others need."""
IDEMPOTENT = {"add_rental_ssh_key"}
"""What may find done, the first time already, what it is asked for."""
DONE = {
    "add_rental_ssh_key",
    "archive_team",
    "create_api_key",
    "create_checkout_session",
    "create_invitation",
    "create_portal_session",
    "create_refund",
    "create_rental",
    "create_setup_session",
    "create_ssh_key",
    "create_team",
    "create_template",
    "create_webhook",
    "delete_auto_topup",
    "delete_payment_method",
    "delete_rental",
    "delete_ssh_key",
    "delete_template",
    "delete_webhook",
    "extend_rental",
    "refresh_catalog",
    "remove_rental_ssh_key",
    "report_rental",
    "revoke_invitation",
    "rotate_api_key",
    "rotate_webhook_secret",
    "set_account_policy",
    "set_auto_topup",
    "set_team_policy",
    "update_account",
    "update_api_key",
    "update_rental",
    "update_team",
    "update_team_policy",
    "update_template",
    "update_wallet",
    "update_webhook",
}
"""What is done here, so that the test shows something; what else there is may be refused for its state."""
CANARY = "canary-4f1b77"


def unsafe_routes(app):
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if isinstance(route, APIRoute) and not route.methods <= SAFE:
            yield route


def test_every_operation_that_may_change_something_is_witnessed_or_tells_it_itself(world) -> None:
    for route in unsafe_routes(world.app):
        witnessed = any(isinstance(found.call, _Working) for found in route.dependant.dependencies)
        assert witnessed or route.operation_id in TOLD_BY_THEMSELVES | PUBLIC, route.operation_id


@pytest.fixture(scope="module")
def consulting(world):
    """Operations that ask by POST and change nothing."""
    return {
        route.operation_id
        for route in unsafe_routes(world.app)
        if any(is_consulting(found.call) for found in route.dependant.dependencies)
    }


@pytest.fixture(scope="module")
def entries_of(world):
    """Return what the audit tells of a request, or of everything."""

    async def reading(tenant, request_id=None):
        async with world.databases.api.begin(tenant.account_id) as session:
            return await driver(session).fetch(
                "SELECT *, details::text AS told FROM audit_entries WHERE account_id = $1 "
                "AND ($2::text IS NULL OR request_id = $2) ORDER BY seq",
                tenant.account_id,
                request_id,
            )

    return reading


@pytest.fixture(scope="module")
async def busy(world):
    """Somebody with something of everything, who will lose it."""
    return await world.furnish(await world.open())


def bodies(tenant):
    """Return bodies that are fine for this tenant, where the example is not."""
    key = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    return {
        "create_refund": {"payment_id": tenant.has["payments"][0], "amount": "1.00"},
        "create_ssh_key": {"name": "other", "public_key": key},
        "create_api_key": {"name": "third", "scopes": ["rentals:read"], "mode": "test"},
        "create_rental": {"family": "rtx-4090", "env": {"SOME": CANARY}, "startup_script": f"echo {CANARY}"},
        "create_template": {"name": "mine", "image": "a/b", "startup_script": f"echo {CANARY}"},
        "update_member": {"role": "viewer"},
        "update_rental": {"name": "renamed", "max_duration_seconds": 86_400},
        "set_auto_topup": paying.RULE,
    }


def in_order(operations):
    """Return operations in an order in which one leaves the next what it needs: what is made first, ended last."""

    def turn(operation):
        made = operation.method == "POST" and not operation.owners
        late = next((n for n, name in enumerate(LAST, 2) if operation.id.startswith(name)), 1)
        return late if late > 1 else 0 if made else 1

    return sorted(operations, key=lambda one: (turn(one), one.id != "update_rental"))


async def test_whatever_is_asked_of_the_api_is_told_exactly_when_it_was_done(
    world, busy, consulting, entries_of
) -> None:
    done, given = set(), bodies(busy)
    for operation in in_order(world.operations):
        if operation.method in SAFE or operation.id in PUBLIC or operation.id == "revoke_api_key":
            continue
        ids = {name: busy.has.get(collection, ["nothing"])[0] for collection, name in operation.owners}
        for _ in range(2):  # the second is a replay, or finds it done
            body = given.get(operation.id, operation.example)
            answer = await busy.caller.ask(operation.method, operation.at(**ids), body, key=f"audit-{operation.id}")
            told = await entries_of(busy, answer.headers["x-request-id"])
            own = [entry for entry in told if entry["actor"] == busy.key_id]
            assert all(entry["address"] == "198.51.100.7" for entry in own)
            if answer.status >= 400 or operation.id in consulting or "idempotency-replayed" in answer.headers:
                assert own == [], (operation.id, answer.status)
            elif own:
                done.add(operation.id)
                if answer.status == 201:
                    busy.has[operation.path.rpartition("/")[2]] = [answer.json()["id"]]
            else:
                assert operation.id in done | IDEMPOTENT, (operation.id, answer.status)
    assert done >= DONE, f"no longer done here: {DONE - done}"
    whole = await entries_of(busy)
    assert [entry["seq"] for entry in whole] == list(range(1, len(whole) + 1))
    for secret in (CANARY, busy.caller.secret):
        assert secret not in json.dumps([entry["told"] for entry in whole])
    async with world.databases.api.begin(busy.account_id) as session:
        assert (await audit.verify(session, account_id=busy.account_id)).ok
