"""Teams, members and keys, as they are typed, on an API with nothing else."""

from __future__ import annotations

import asyncio
import json

import pytest
from typer.testing import CliRunner

from app.cli.commands import app as commands
from app.cli.errors import Exit
from app.kit.ids import AccountId, UserId
from app.tenancy import Authenticator, KeyTerms, create_key, open_account
from app.tenancy.endpoints import ROUTERS
from app.tenancy.people import Sessions, Tokens
from app.web import SCOPES
from tests.tenancy.conftest import PEPPER, SITE, State

from .serving import serving, typed_at


@pytest.fixture
async def served(api_db, auth_db):
    """The URL of the API."""
    state = State(api_db, auth_db, Authenticator(auth_db, PEPPER), Sessions(auth_db, Tokens(b"tokens"), SITE))
    async with serving(state, *ROUTERS) as url:
        yield url


@pytest.fixture
async def run(served, worker_db, at, tmp_path):
    """Run one command as the owner of a new account."""
    owner = UserId.new()
    async with worker_db.begin_unscoped() as session:
        account = await open_account(session, name="Lab", email="ada@example.com", at=at, user_id=owner)
        terms = KeyTerms("owner", SCOPES, created_by=owner)
        key = await create_key(session, terms, account_id=account.account_id, pepper=PEPPER, at=at)
    return typed_at(served, key.secret, tmp_path)


async def test_a_team_is_made_filled_renamed_and_archived_by_its_name(run, told):
    made = await told("teams", "create", "vision", "--time-zone", "Europe/Berlin")
    assert "Europe/Berlin" in (await run("teams", "list")).stdout
    assert (await told("teams", "add", "vision", "ada@example.com", "--lead"))["role"] == "lead"
    assert "ada@example.com" in (await run("teams", "members", made["id"])).stdout
    assert (await told("teams", "remove", "vision", "ADA@example.com"))["team_id"] == made["id"]
    assert (await run("teams", "members", "vision")).stdout == "Nobody is in this team.\n"
    assert (await told("teams", "update", "vision", "--name", "speech"))["name"] == "speech"
    assert (await told("teams", "show", "speech"))["id"] == made["id"]
    refused = await run("teams", "archive", "speech")
    assert refused.exception.exit_code == Exit.USAGE
    assert (await told("teams", "archive", "speech", "--yes"))["archived_at"]
    assert (await run("teams", "list")).stdout == "There are no teams.\n"
    assert "speech" in (await run("teams", "list", "--archived")).stdout


async def test_what_is_not_there_is_told_before_anything_is_changed(run):
    for arguments, code in (
        (("teams", "show", "nobody"), Exit.NOT_FOUND),
        (("members", "remove", "nobody@example.com", "--yes"), Exit.NOT_FOUND),
        (("keys", "revoke", "../account", "--yes"), Exit.USAGE),
        (("keys", "create", "ci", "--scope", "rentals:read", "--reset", "daily"), Exit.USAGE),
        (("members", "resend", "nonsense"), Exit.USAGE),
    ):
        assert (await run(*arguments)).exception.exit_code == code, arguments


async def test_people_are_asked_in_and_the_last_owner_stays(run, told):
    await told("teams", "create", "vision")
    made = await told("members", "invite", "new@example.com", "--role", "viewer", "--team", "vision")
    assert (made["role"], len(made["teams"])) == ("viewer", 1)
    assert "new@example.com" in (await run("members", "invitations")).stdout
    assert (await told("members", "uninvite", made["id"]))["status"] == "revoked"
    assert "owner" in (await run("members", "list")).stdout
    for arguments in (("role", "ada@example.com", "viewer"), ("remove", "ada@example.com", "--yes")):
        refused = await run("members", *arguments)
        assert refused.exception.problem["code"] == "last_owner"


async def test_a_key_is_made_limited_rotated_and_revoked(run, told):
    team = await told("teams", "create", "vision")
    made = await told(
        "keys", "create", "ci", "--scope", "rentals:read", "--scope", "catalog:read", "--team", "vision", "--limit", "25",
        "--reset", "daily", "--from", "192.0.2.0/24", "--expires-in", "90d",
    )  # fmt: skip
    assert (made["team_id"], made["limit"]) == (team["id"], {"amount": "25.00", "reset": "daily"})
    assert (made["scopes"], made["allowed_ips"]) == (["catalog:read", "rentals:read"], ["192.0.2.0/24"])
    assert made["secret"].startswith("hg_live_")
    listed = (await run("keys", "list", "--team", "vision")).stdout
    assert "25.00" in listed
    assert made["secret"] not in listed
    assert (await told("keys", "update", made["id"], "--limit", "5"))["limit"] == {"amount": "5.00", "reset": None}
    assert (await told("keys", "update", made["id"], "--unlimited", "--name", "other"))["limit"] is None
    successor = await told("keys", "rotate", made["id"], "--overlap", "1h")
    assert (await told("keys", "show", made["id"]))["rotated_to"] == successor["id"]
    assert (await told("keys", "revoke", successor["id"], "--yes"))["revoked_at"]


async def test_the_operator_asks_an_owner_into_an_account(databases, new_account, tmp_path):
    account_id = await new_account()
    given = {
        "HOURGLASS_HOME": str(tmp_path),
        "HOURGLASS_SECRET": "a secret that is long enough for settings",
        "DATABASE_URL_WORKER": databases.urls.worker,
    }

    async def run(*arguments):
        return await asyncio.to_thread(CliRunner().invoke, commands, ["admin", "invite-owner", *arguments], env=given)

    done = await run(account_id, "Ada@example.com", "--json")
    assert json.loads(done.stdout)["invitation_id"].startswith("inv_"), done.exception
    assert "open" in str((await run(account_id, "ada@example.com")).exception)
    assert (await run(account_id, "nobody")).exception.exit_code == Exit.USAGE
    assert (await run(AccountId.new(), "ada@example.com")).exception.exit_code == Exit.NOT_FOUND
