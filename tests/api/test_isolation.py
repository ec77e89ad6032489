"""Nobody gets at anything of anybody else: not over HTTP, whatever id is tried where, and not past a forgotten WHERE."""

from __future__ import annotations

import asyncio
import hashlib
from itertools import pairwise

import asyncpg
import pytest

from app.kit.db import driver
from tests.soaking import in_soak

from .conftest import PUBLIC_KEY
from .owned import BODY_IDS, COMMON, MISSING, QUERY_IDS
from .trying import Trying

ACCOUNTS = 20
THE_WORKERS = {
    "audit_checks",
    "event_feed",
    "gpu_use",
    "ledger_seals",
    "policy_counted",
    "policy_spend",
    "policy_zones",
    "report_counted",
    "report_spend",
    "wallet_alerts",
    "webhook_attempts",
}
"""What only the worker writes, who does not work here."""
ASSETS = """
    SELECT c.relname AS name, obj_description(c.oid) LIKE 'global: %' AS is_global,
           EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'account_id') AS owned
    FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace ORDER BY 1
"""


@pytest.fixture(scope="module")
async def tenants(world):
    return await world.furnish_all([await world.open() for _ in range(ACCOUNTS)])


@pytest.fixture(scope="module")
async def admin(world):
    connection = await asyncpg.connect(world.databases.urls.admin)
    yield connection
    await connection.close()


async def contents(admin):
    """Return a digest of every row of every table."""
    digests = {}
    for table in await admin.fetch(ASSETS):
        rows = await admin.fetch(f'SELECT t::text AS row FROM "{table["name"]}" t ORDER BY 1')
        digest = hashlib.sha256("\n".join(row["row"] for row in rows).encode()).hexdigest()
        digests[table["name"]] = (len(rows), digest)
    return digests


def test_every_id_in_a_path_and_in_a_query_is_one_that_this_test_knows(world) -> None:
    for operation in world.operations:
        assert operation.path.count("{") == len(operation.owners), operation.path
        for collection, _ in operation.owners:
            assert collection in MISSING or collection in COMMON, f"whose is an id of {operation.path}?"
        for parameter in operation.query:
            if parameter["name"].endswith("_id"):
                assert parameter["name"] in QUERY_IDS, f"whose is {parameter['name']} of {operation.path}?"
        for name in (operation.body or {"properties": ()})["properties"]:
            if name.endswith("_id"):
                assert name in BODY_IDS, f"whose is {name} in the body of {operation.id}?"


@pytest.mark.parametrize("share", [15, *in_soak(1)])
async def test_every_id_of_others_is_answered_as_one_that_there_is_not(world, tenants, admin, share) -> None:
    """Everybody tries every operation: with things of one in ``share`` of the others each, in turns."""
    before, trying = await contents(admin), Trying(world.operations, tenants, share)
    asked = [await trying.all_of_others(0)]
    asked += await asyncio.gather(*(trying.all_of_others(turn) for turn in range(1, ACCOUNTS)))
    assert sum(asked) >= ACCOUNTS * (ACCOUNTS - 1) * 60 / share
    assert await contents(admin) == before


async def test_lists_show_only_what_is_ones_own(world, tenants) -> None:
    lists = [one for one in world.operations if one.method == "GET" and one.secured and private(one)]
    lists = [one for one in lists if not one.by_person]
    for n, own in enumerate(tenants):
        others = [text for other in tenants if other is not own for text in identifying(other)]
        for operation in lists:
            target = operation.at(month="2026-03") + ("?family=rtx-4090" if operation.id == "get_price_history" else "")
            answer = await own.caller.ask("GET", target)
            assert answer.status == 200, (target, answer.text)
            assert not any(text in answer.text for text in others), target
            for parameter in operation.query:
                if collection := QUERY_IDS.get(parameter["name"]):
                    foreign = tenants[n - 1].has[collection][0]
                    answer = await own.caller.ask("GET", f"{target}?{parameter['name']}={foreign}")
                    nothing = "" if operation.id == "export_audit" else []
                    told = answer.text if operation.id == "export_audit" else answer.json()["data"]
                    assert (answer.status, told) == (200, nothing), operation.id


def private(operation):
    """Whether an operation shows what one has, without being told an id of it."""
    return all(collection in ("statements", "chargeback") for collection, _ in operation.owners)


def identifying(tenant):
    """Return every text by which a tenant can be known."""
    own = [text for collection, ids in tenant.has.items() if collection not in COMMON for text in ids]
    return [tenant.account_id, *own]


@pytest.mark.parametrize("form", ["json", "csv", "pdf"])
async def test_a_statement_is_of_ones_own_month_in_every_form(world, tenants, form) -> None:
    own, other = tenants[:2]
    target = f"/v1/billing/statements/2026-03?format={form}"
    mine, foreign = [await one.caller.ask("GET", target) for one in (own, other)]
    assert mine.status == foreign.status == 200
    assert mine.content != foreign.content
    assert not any(text.encode() in mine.content for text in identifying(other))


async def test_a_cursor_is_nothing_to_another_account(world, tenants) -> None:
    ada, bob = tenants[:2]
    tried = 0
    for operation in world.operations:
        if not any(parameter["name"] == "cursor" for parameter in operation.query) or operation.id == "list_listings":
            continue
        if operation.by_person:
            continue
        ids = {name: ada.has[collection][0] for collection, name in operation.owners}
        query = "?limit=1" + ("&family=rtx-4090" if operation.id == "get_price_history" else "")
        cursor = (await ada.caller.ask("GET", operation.at(**ids) + query)).json()["next_cursor"]
        if cursor is None:
            continue
        tried += 1
        ids = {name: bob.has[collection][0] for collection, name in operation.owners}
        answer = await bob.caller.ask("GET", f"{operation.at(**ids)}{query}&cursor={cursor}")
        assert (answer.status, answer.json()["code"]) == (400, "invalid_cursor"), operation.id
    assert tried >= 4


async def test_one_idempotency_key_in_two_accounts_has_two_effects(world) -> None:
    ada, bob = await world.open(), await world.open()
    wish = {"family": "rtx-4090"}
    made = [await one.caller.ask("POST", "/v1/rentals", wish, key="same") for one in (ada, bob)]
    assert [one.status for one in made] == [202, 202]
    assert made[0].json()["id"] != made[1].json()["id"]
    assert "idempotency-replayed" not in made[1].headers
    for one, answer in zip((ada, bob), made, strict=True):
        again = await one.caller.ask("POST", "/v1/rentals", wish, key="same")
        assert (again.content, again.headers["idempotency-replayed"]) == (answer.content, "true")


async def test_ids_of_others_in_bodies_name_nothing(world, tenants, admin) -> None:
    rule = {"mode": "fixed", "threshold": "5.00", "amount": "10.00", "monthly_cap": "50.00", "payment_method_id": "{}"}
    consent = {"text_version": "2026-11", "accepted": True}
    for own, other in pairwise(tenants):
        before = await contents(admin)
        for method, target, body, has, status in (
            ("POST", "/v1/rentals", {"family": "rtx-4090", "ssh_key_ids": ["{}"]}, "ssh-keys", 422),
            ("POST", "/v1/rentals", {"quote_id": "{}"}, "quotes", 422),
            ("POST", "/v1/rentals", {"family": "rtx-4090", "template": "{}"}, "templates", 422),
            ("POST", "/v1/billing/refunds", {"payment_id": "{}"}, "payments", 404),
            ("POST", "/v1/wallet/auto-topup/preview", rule, "payment-methods", 422),
            ("PUT", "/v1/wallet/auto-topup", rule | {"consent": consent}, "payment-methods", 422),
        ):
            answers = []
            for name in (other.has[has][0], MISSING[has]()):
                wish = {field: _filled(value, name) for field, value in body.items()}
                answers.append(await own.caller.ask(method, target, wish))
            assert answers[0].status == status, answers[0].text
            assert answers[0].told == answers[1].told
        assert await contents(admin) == before


async def test_the_same_public_key_and_template_name_are_free_for_everybody(world) -> None:
    for _ in range(2):
        tenant = await world.open()
        await tenant.caller.made("/v1/ssh-keys", {"name": "laptop", "public_key": PUBLIC_KEY})
        await tenant.caller.made("/v1/templates", {"name": "trainer", "image": "a/b"})


async def test_a_query_that_forgets_its_where_sees_and_changes_nothing_of_others(world, tenants, admin) -> None:
    own, tried, empty = tenants[0].account_id, 0, []
    for table in await admin.fetch(ASSETS):
        if not table["owned"] or not await _may(admin, table["name"], "SELECT"):
            continue
        name = table["name"]
        mine = await admin.fetchval(f"SELECT count(*) FROM {name} WHERE account_id = $1", own)
        others = await admin.fetchval(f"SELECT count(*) FROM {name} WHERE account_id <> $1", own)
        empty += [] if others else [name]
        async with world.databases.api.begin(own) as session:
            connection = driver(session)
            assert await connection.fetchval(f"SELECT count(*) FROM {name}") == mine
            assert await connection.fetchval(f"SELECT count(*) FROM {name} WHERE account_id <> $1", own) == 0
            tried += 1
    assert tried >= 30
    assert set(empty) <= THE_WORKERS, "nobody else has anything there"


async def test_nothing_of_others_can_be_written_changed_or_deleted(world, tenants, admin) -> None:
    own, other = tenants[0].account_id, tenants[1].account_id
    before = await contents(admin)
    for table in await admin.fetch(ASSETS):
        name = table["name"]
        if not table["owned"]:
            continue
        row = await admin.fetchrow(f"SELECT * FROM {name} WHERE account_id = $1 LIMIT 1", other)
        for column in await _columns(admin, name, "UPDATE"):
            sql = f"UPDATE {name} SET {column} = {column} WHERE account_id = '{other}'"
            assert await _as_api(world, own, sql) == "UPDATE 0", (name, column)
        if await _may(admin, name, "DELETE"):
            assert await _as_api(world, own, f"DELETE FROM {name} WHERE account_id = '{other}'") == "DELETE 0"
        if row is not None:
            columns = ", ".join(row.keys())
            marks = ", ".join(f"${n}" for n in range(1, len(row) + 1))
            refused = await _as_api(world, own, f"INSERT INTO {name} ({columns}) VALUES ({marks})", *row.values())
            assert refused == "42501", name
        if "account_id" in await _columns(admin, name, "UPDATE"):
            refused = await _as_api(world, own, f"UPDATE {name} SET account_id = '{other}'")
            assert refused in ("42501", "UPDATE 0"), name
    assert await contents(admin) == before


async def test_accounts_that_work_at_once_do_not_see_each_other(world, tenants) -> None:
    async def look(own):
        for _ in range(5):
            listed = (await own.caller.ask("GET", "/v1/rentals")).json()["data"]
            assert sorted(rental["id"] for rental in listed) == sorted(own.has["rentals"])

    await asyncio.gather(*(look(own) for own in tenants))


def _filled(value, name):
    if isinstance(value, list):
        return [_filled(one, name) for one in value]
    return name.replace("%20", " ") if value == "{}" else value


async def _may(admin, table, right):
    return (
        await admin.fetchval("SELECT has_any_column_privilege('hourglass_api', $1, $2)", table, right)
        if (right != "DELETE")
        else await admin.fetchval("SELECT has_table_privilege('hourglass_api', $1, 'DELETE')", table)
    )


async def _columns(admin, table, right):
    rows = await admin.fetch(
        """
        SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped
        AND has_column_privilege('hourglass_api', attrelid, attnum, $2)
        """,
        table,
        right,
    )
    return [row["attname"] for row in rows]


async def _as_api(world, account_id, sql, *values):
    """Run one statement as the API's role for an account, undo it, and return its tag or its SQLSTATE."""
    try:
        async with world.databases.api.begin(account_id) as session:
            tag = await driver(session).execute(sql, *values)
            await session.rollback()
    except asyncpg.PostgresError as error:
        return error.sqlstate
    else:
        return tag
