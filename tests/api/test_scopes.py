"""Every operation takes only keys that are in force and have its scope."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.tenancy.keys import revoke_key
from app.web import SCOPES

from .calling import Caller
from .conftest import START
from .operations import PROBLEM, PUBLIC

NO_KEY = "hg_live_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLM"


@pytest.fixture(scope="module")
def secured(world):
    return [operation for operation in world.operations if operation.id not in PUBLIC]


def refused(answer, status, code):
    assert (answer.status, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == PROBLEM
    assert ("www-authenticate" in answer.headers) == (status == 401)


def target_of(operation, tenant):
    ids = {name: tenant.has.get(collection, ["nothing"])[0] for collection, name in operation.owners}
    query = "&".join(f"{one['name']}=rtx-4090" for one in operation.query if one["required"])
    return operation.at(**ids) + (f"?{query}" if query else "")


def test_every_operation_is_secured_but_for_three_and_asks_for_a_scope_there_is(world) -> None:
    for operation in world.operations:
        assert operation.secured == (operation.id not in PUBLIC), operation.id
        assert operation.scope is None or operation.scope in SCOPES, operation.id
        assert operation.scope or operation.by_person or operation.id in {*PUBLIC, "get_account"}, operation.id


@pytest.mark.parametrize(
    ("secret", "code"),
    [(None, "unauthorized"), ("nonsense", "unauthorized"), ("", "unauthorized"), (NO_KEY, "unauthorized")],
)
async def test_without_a_key_that_is_ours_nothing_is_told(world, secured, furnished, secret, code) -> None:
    for operation in secured:
        caller = Caller(world.app, secret)
        for body in (operation.example, {"un": "known"}):
            refused(await caller.ask(operation.method, target_of(operation, furnished), body), 401, code)


async def test_a_revoked_and_an_expired_key_open_nothing(world, secured, furnished) -> None:
    expired, _ = await world.key(furnished.account_id, scopes=SCOPES, expires_at=START + timedelta(seconds=1))
    revoked, key_id = await world.key(furnished.account_id, scopes=SCOPES)
    async with world.databases.api.begin(furnished.account_id) as session:
        await revoke_key(session, key_id, account_id=furnished.account_id, at=START)
    for operation in secured:
        for secret, code in ((revoked, "key_disabled"), (expired, "key_expired")):
            answer = await Caller(world.app, secret).ask(
                operation.method, target_of(operation, furnished), operation.example
            )
            refused(answer, 401, code)


async def test_a_key_with_every_scope_but_the_one_is_refused_and_told_which(world, secured, furnished) -> None:
    keys = {}
    for operation in secured:
        if operation.scope is None:
            continue
        if operation.scope not in keys:
            keys[operation.scope] = await world.key(furnished.account_id, scopes=SCOPES - {operation.scope, "admin"})
        caller = Caller(world.app, keys[operation.scope][0])
        for body in (operation.example, {"un": "known"}):
            answer = await caller.ask(operation.method, target_of(operation, furnished), body)
            refused(answer, 403, "scope_missing")
            assert answer.json()["required_scope"] == operation.scope


@pytest.mark.parametrize("also", [None, "admin"])
async def test_the_scope_alone_is_enough_and_admin_has_them_all(world, secured, also) -> None:
    for operation in secured:
        tenant = await world.open()
        scopes = {also or operation.scope or "catalog:read"}
        secret, _ = await world.key(tenant.account_id, scopes=scopes)
        answer = await Caller(world.app, secret).ask(operation.method, target_of(operation, tenant), operation.example)
        if operation.by_person:
            refused(answer, 403, "sign_in_needed")
            continue
        # A key hands out no scope that it does not have itself.
        allowed = operation.id == "create_api_key" and also is None
        assert answer.status not in (401,) + (() if allowed else (403,)), (operation.id, answer.text)
        assert operation.documents(answer.status), (operation.id, answer.status)
