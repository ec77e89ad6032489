"""Policies as they are typed, on an API with nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from app import wallet
from app.cli.client.policy_files import guess_format, without_secrets
from app.cli.errors import Exit, UsageError
from app.kit.ids import UserId
from app.policies import endpoints as policy_endpoints
from app.policies.imports import endpoints as import_endpoints
from app.policies.requests import endpoints as request_endpoints
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
    routers = (*ROUTERS, policy_endpoints.router, import_endpoints.router, request_endpoints.router)
    async with serving(state, *routers) as url:
        yield url


@pytest.fixture
async def run(served, worker_db, at, tmp_path):
    """Run one command as the owner of a new account with a team ``vision``."""
    owner = UserId.new()
    async with worker_db.begin_unscoped() as session:
        account = await open_account(session, name="Lab", email="ada@example.com", at=at, user_id=owner)
        await wallet.open_wallet(session, account_id=account.account_id, at=at)
        key = await create_key(
            session, KeyTerms("owner", SCOPES, created_by=owner), account_id=account.account_id, pepper=PEPPER, at=at
        )
    running = typed_at(served, key.secret, tmp_path)
    assert (await running("teams", "create", "vision")).exit_code == 0
    return running


async def test_a_policy_is_shown_set_and_tried_out(run, told):
    assert (await told("policy", "show", "--team", "vision"))["daily_budget"] == "10.00"
    settings = ("daily_budget=$50", "gpu_whitelist=rtx-4090, h100-80gb", "max_instances=none")
    changed = await told("policy", "set", *settings, "--team", "vision")
    assert (changed["daily_budget"], changed["max_instances"]) == ("50.00", None)
    assert changed["gpu_whitelist"] == ["rtx-4090", "h100-80gb"]
    allowed = await told("policy", "check", "rtx-4090", "--team", "vision", "--price", "1")
    assert allowed["allowed"] is True
    refused = await run("policy", "check", "l4", "--team", "vision", "--price", "1")
    assert refused.exit_code == Exit.POLICY
    assert "GPU l4 not in team whitelist" in refused.output


async def test_a_file_is_shown_first_and_then_set(run, told, tmp_path):
    file = tmp_path / "teams.toml"
    file.write_text("[teams.vision]\nmax_intances = 7\ndaily_budget = 25\n")
    shown = await run("policy", "import", str(file), "--dry-run")
    assert shown.exit_code == 0
    assert "line 2: max_intances was read as max_instances." in shown.output
    assert (await told("policy", "show", "--team", "vision"))["version"] == 0
    assert (await run("policy", "import", str(file))).exit_code != 0, "nobody can be asked"
    done = await told("policy", "import", str(file), "--yes")
    assert done["applied"] is True
    assert (await told("policy", "show", "--team", "vision"))["max_instances"] == 7
    again = await run("policy", "import", str(file), "--yes")
    assert "Nothing would change." in again.output


async def test_a_change_is_asked_for_and_decided(told, run):
    wish = await told("policy", "ask", "vision", "daily_budget=30", "--reason", "a deadline")
    assert [one["id"] for one in (await told("policy", "requests", "vision"))["data"]] == [wish["id"]]
    decided = await told("policy", "approve", "vision", wish["id"], "--note", "fine")
    assert decided["state"] == "approved"
    assert (await told("policy", "show", "--team", "vision"))["daily_budget"] == "30.00"
    assert (await run("policy", "deny", "vision", wish["id"])).exit_code != 0
    assert isinstance((await run("policy", "deny", "vision", "../../account")).exception, UsageError)


@pytest.mark.parametrize("setting", ["daily_budget", "=5", "max_gpus=many"])
async def test_what_is_no_setting_is_a_mistake_of_use(run, setting):
    assert isinstance((await run("policy", "set", setting)).exception, UsageError)


@pytest.mark.parametrize(
    "text",
    [
        'api_key = "canary-1"\nmax = 1',
        "api_key = canary-1\nmax = 1",
        '{"API-Key": "canary-1", "max": 1}',
        "{ api_key = 'canary-1', max = 1 }",
        "secret_token: canary-1 # mine\nmax: 1",
        'vast.api_key="can\\"ary-canary-1"\nmax = 1',
    ],
)
def test_no_credential_is_sent(text):
    sent = without_secrets(text)
    assert "canary" not in sent
    assert "max" in sent
    assert sent.count("\n") == text.count("\n")


def test_the_shape_of_a_file_is_guessed():
    assert guess_format(Path("x/cloud.toml"), "") == "cloud-toml"
    assert guess_format(Path("x.toml"), "# mine\n[providers.vast]\n") == "cloud-toml"
    assert guess_format(Path("teams.json"), "{}") == "team-table"
