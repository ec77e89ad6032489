"""The audit from the command line: the operator's acts and checks, and an export that is verified without the service."""

from __future__ import annotations

import asyncio
import json

import asyncpg
import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from app import audit
from app.audit.models import EntryRow
from app.audit.rendering import full
from app.catalog import register_providers
from app.cli.commands import app
from app.cli.errors import CliError, UsageError

from .test_catalog import VAST


@pytest.fixture
def run(fresh_databases, tmp_path):
    """Run one command in this process, as the operator of a database."""
    given = {
        "HOURGLASS_HOME": str(tmp_path),
        "HOURGLASS_SECRET": "a secret that is long enough for settings",
        "DATABASE_URL_WORKER": fresh_databases.urls.worker,
    }

    async def running(*arguments: str):
        return await asyncio.to_thread(CliRunner().invoke, app, list(arguments), env=given)

    return running


@pytest.fixture
async def opened(run) -> str:
    """An account that the operator has opened, credited, and given a key."""
    made = await run("admin", "open-account", "Acme", "owner@example.com", "--json")
    assert made.exit_code == 0, made.output
    account: str = json.loads(made.stdout)["account_id"]
    assert (await run("admin", "credit", account, "5", "--reference", "r1", "--reason", "sorry")).exit_code == 0
    assert (await run("admin", "credit", account, "5", "--reference", "r1", "--reason", "sorry")).exit_code == 0
    assert (await run("admin", "make-key", account, "--name", "ci")).exit_code == 0
    return account


@pytest.fixture
def entries(fresh_databases):
    async def reading(account: str) -> list[EntryRow]:
        async with fresh_databases.worker.begin_unscoped() as session:
            query = select(EntryRow).where(EntryRow.account_id == account).order_by(EntryRow.seq)
            return list(await session.scalars(query))

    return reading


async def test_what_the_operator_does_is_told_once_with_who_did_it(opened, entries) -> None:
    told = await entries(opened)
    assert [entry.action for entry in told] == [
        "account.opened",
        "api_key.created",
        "wallet.credited",
        "api_key.created",
    ]
    assert {entry.actor for entry in told} == {audit.OPERATOR}
    assert all("@" in entry.address for entry in told)
    assert told[2].details == {"amount_micros": 5_000_000, "reference": "r1", "reason": "sorry"}
    assert "hg_live_" not in json.dumps([entry.details for entry in told])


async def test_what_concerns_no_account_is_in_the_operators_own_chain(run, entries, fresh_databases) -> None:
    async with fresh_databases.worker.begin_unscoped() as session:
        await register_providers(session, [VAST])
    await run("admin", "quarantine", "add", "vast", "77", "--reason", "wrong memory")
    await run("admin", "quarantine", "release", "vast", "77")
    await run("admin", "quarantine", "release", "vast", "77")
    told = await entries(audit.OPERATOR)
    assert [(entry.action, entry.target) for entry in told] == [
        ("host.quarantined", "vast/77"),
        ("host.released", "vast/77"),
    ]


async def test_the_operator_verifies_everything_and_a_change_is_found(run, opened, fresh_databases) -> None:
    whole = await run("admin", "audit", "verify", "--json")
    assert whole.exit_code == 0, whole.output
    assert json.loads(whole.stdout) == {"ok": True, "chains": 1, "entries": 4, "broken": [], "untold": []}
    connection = await asyncpg.connect(fresh_databases.urls.admin)
    await connection.execute("SET session_replication_role = replica")
    await connection.execute("UPDATE audit_entries SET details = '{}' WHERE seq = 2")
    await connection.close()
    for arguments in ((), ("--account", opened)):
        found = await run("admin", "audit", "verify", "--json", *arguments)
        assert isinstance(found.exception, CliError)
        assert json.loads(found.stdout)["broken"] == [{"account_id": opened, "first_bad_seq": 2, "trouble": "changed"}]
    assert isinstance((await run("admin", "audit", "verify", "--account", "nobody")).exception, UsageError)


@pytest.fixture
def keep(tmp_path):
    """Write lines to a file and return its name."""

    def keeping(*lines: str) -> str:
        file = tmp_path / "audit.jsonl"
        file.write_text("".join(lines))
        return str(file)

    return keeping


async def test_an_export_is_verified_here_and_by_nobody_else(run, opened, entries, keep) -> None:
    lines = [full(entry) for entry in await entries(opened)]
    found = await run("audit", "verify", keep(*lines), "--json")
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["seq"] == 4

    changed = keep(*lines[:2], lines[2].replace("sorry", "thanks"), lines[3])
    found = await run("audit", "verify", changed, "--json")
    assert isinstance(found.exception, CliError)
    assert json.loads(found.stdout)["first_bad_seq"] == 3

    cut = keep(lines[0], lines[2])
    assert json.loads((await run("audit", "verify", cut, "--json")).stdout)["trouble"] == "missing"
    for text in ("[]\n", "no json\n", '{"seq": 1}\n'):
        assert isinstance((await run("audit", "verify", keep(text))).exception, UsageError)


def test_the_audit_is_read_exported_and_verified_over_http(service, tmp_path) -> None:
    given = {
        "HOURGLASS_HOME": str(service.home),
        "HOURGLASS_PORT": str(service.port),
        "XDG_CONFIG_HOME": str(tmp_path),
        "HOME": str(tmp_path),
    }
    runner, file = CliRunner(), tmp_path / "audit.jsonl"
    shown = json.loads(runner.invoke(app, ["audit", "--json", "--action", "account"], env=given).stdout)["data"]
    assert [entry["action"] for entry in shown] == ["account.opened"]
    assert "account.opened" in runner.invoke(app, ["audit"], env=given).stdout
    assert json.loads(runner.invoke(app, ["audit", "verify", "--json"], env=given).stdout)["ok"] is True
    assert runner.invoke(app, ["audit", "export", str(file)], env=given).exit_code == 0
    assert runner.invoke(app, ["audit", "verify", str(file)], env=given).exit_code == 0
    flat = runner.invoke(app, ["audit", "export", "--flat"], env=given).stdout.splitlines()
    assert list(json.loads(flat[0]))[:3] == ["timestamp", "team", "action"]
