import json
import re
import time
from pathlib import Path

import asyncssh
import pytest

from app.cli.client.http import exit_code_of
from app.cli.errors import Exit

from .conftest import here_or_apart


@pytest.fixture
def run(service, tmp_path):
    """Run one client command against the service, with its demo account unless told otherwise."""

    def running(*arguments, **values):
        given = {
            "HOURGLASS_HOME": str(service.home),
            "HOURGLASS_PORT": str(service.port),
            "XDG_CONFIG_HOME": str(tmp_path),
            "HOME": str(tmp_path),
        }
        return here_or_apart(*arguments, **{**given, **values})

    return running


@pytest.fixture
def told(run):
    """Run a command that must succeed with --json and return what it says."""

    def telling(*arguments, **values):
        done = run(*arguments, "--json", **values)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return telling


@pytest.fixture
def public_key(tmp_path):
    path = tmp_path / "key.pub"
    asyncssh.generate_private_key("ssh-ed25519").write_public_key(path)
    return str(path)


def test_help_names_every_command(run):
    shown = run("--help").stdout
    for command in ("up", "api", "worker", "sandbox", "migrate", "admin", "families", "offers", "quote", "launch", "ps",
                    "show", "ssh", "logs", "stop", "balance", "ledger", "topup", "auto-topup", "prices",
                    "hibernate", "resume", "teams", "members", "keys", "policy", "report", "audit", "webhooks"):  # fmt: skip
        assert re.search(rf"^\s+{command}\s", shown, re.MULTILINE), command


def test_help_imports_nothing_heavy():
    import subprocess
    import sys

    probe = "import sys, app.cli; print([m for m in ('fastapi', 'sqlalchemy', 'httpx', 'alembic', 'pydantic') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_market_for_people_and_for_scripts(run, told):
    assert "rtx-4090" in run("families").stdout
    found = told("offers", "rtx-4090", "--limit", "3")["data"]
    assert 0 < len(found) <= 3
    assert {listing["family"] for listing in found} == {"rtx-4090"}
    assert found[0]["id"] in run("offers", "rtx-4090").stdout


def test_prices_are_refreshed_and_told_by_the_hour(run, told):
    refreshed = told("prices", "refresh")
    assert {result["status"] for result in refreshed["results"]} == {"refreshed"}
    hours = told("prices", "history", "4090", "--on-demand")["data"]
    assert {(hour["family"], hour["spot"]) for hour in hours} == {("rtx-4090", False)}
    assert hours[0]["median"] in run("prices", "history", "rtx-4090", "--on-demand").stdout
    assert run("prices", "refresh", "--provider", "nobody").returncode == Exit.USAGE


def test_quote_shows_what_is_held(told):
    quoted = told("quote", "rtx-4090", "--max-price", "5")
    assert quoted["object"] == "quote"
    assert quoted["hold"] == quoted["rate"]["per_hour"]


def test_rental_from_launch_to_stop(run, told, public_key):
    done = run("launch", "rtx-4090", "--name", "first", "--ssh-key", public_key, "--timeout", "2h", "--yes")
    assert done.returncode == 0, done.stderr
    assert "provisioning: booting" in done.stderr
    assert "running" in done.stdout
    (rental,) = [one for one in told("ps")["data"] if one["name"] == "first"]
    assert rental["limits"]["max_duration_seconds"] == 7200
    shown = told("show", rental["id"])
    assert told("ssh", rental["id"]) == shown["ssh"]
    assert rental["id"] in run("ps").stdout
    assert run("logs", rental["id"]).returncode == 0
    assert told("stop", rental["id"], "--yes")["status"] in {"stopping", "stopped"}
    assert told("stop", rental["id"], "--yes")["status"] in {"stopping", "stopped"}
    assert rental["id"] in run("ps", "--all").stdout


def test_rental_that_sleeps_and_one_that_waits(run, told, public_key):
    launch = ("launch", "rtx-4090", "--provider", "vast", "--ssh-key", public_key, "--yes")
    rental = told(*launch)
    assert float(rental["rate"]["stopped_per_hour"]) < float(rental["rate"]["per_hour"])
    assert told("hibernate", rental["id"])["status"] == "hibernating"
    for _ in range(100):
        shown = told("show", rental["id"])
        if shown["status"] != "hibernating":
            break
        time.sleep(0.2)
    assert (shown["status"], shown["rate"]["per_hour"]) == ("hibernated", rental["rate"]["stopped_per_hour"])
    assert rental["id"] in run("ps").stdout
    awake = told("resume", rental["id"])
    assert (awake["status"], awake["disk_lost"]) == ("running", False)
    assert told("stop", rental["id"], "--yes")["status"] == "stopping"

    assert run(*launch, "--wait", "1h").returncode == Exit.USAGE
    waits = told(*launch, "--wait", "1h", "--max-price", "0.000001", "--detach")
    assert (waits["status"], waits["reserve"]["held"]) == ("queued", "0.000001")
    assert told("stop", waits["id"], "--yes")["status"] == "stopped"


def test_rental_for_a_team_is_asked_of_its_policy(run, told, public_key):
    team = told("teams", "create", "of launches")
    refused = run("launch", "h100-80gb", "--team", "of launches", "--ssh-key", public_key, "--yes")
    assert refused.returncode == Exit.POLICY, refused.stderr
    assert "GPU h100-80gb not in team whitelist" in refused.stderr
    for wait in ((), ("--wait", "1h", "--max-price", "0.000001")):
        launch = ("launch", "rtx-4090", "--team", team["id"], "--ssh-key", public_key, "--yes", "--detach", *wait)
        rental = told(*launch)
        assert rental["team_id"] == team["id"]
        assert [one["id"] for one in told("ps", "--team", "of launches")["data"]] == [rental["id"]]
        assert told("stop", rental["id"], "--yes")["status"] in {"stopping", "stopped"}
        while told("show", rental["id"])["status"] != "stopped":
            time.sleep(0.2)


def test_wallet_and_ledger(run, told):
    assert "available" in told("balance")
    assert "Available" in run("balance").stdout
    kinds = {entry["kind"] for entry in told("ledger")["data"]}
    assert "adjustment_credit" in kinds
    assert "adjustment_credit" in run("ledger").stdout


def test_profile_is_tried_kept_for_its_owner_and_used(service, run, told, tmp_path):
    kept = told("login", "--profile", "work", "--url", service.url, "--api-key", service.api_key)
    assert Path(kept["path"]).stat().st_mode & 0o077 == 0
    assert told("families", "--profile", "work", HOURGLASS_HOME="/nonexistent")["data"]
    assert run("login", "--url", service.url, "--api-key", "hg_live_nonsense").returncode == Exit.AUTH
    assert run("ps", "--profile", "other").returncode == Exit.USAGE


@pytest.mark.parametrize(
    ("arguments", "values", "code"),
    [
        (["families"], {"HOURGLASS_API_KEY": "hg_live_nonsense"}, Exit.AUTH),
        (["families"], {"HOURGLASS_HOME": "/nonexistent"}, Exit.AUTH),
        (["families"], {"HOURGLASS_API_KEY": "x", "HOURGLASS_URL": "http://127.0.0.1:9"}, Exit.FAILED),
        (["show", "rent_01J00000000000000000000000"], {}, Exit.NOT_FOUND),
        (["show", "../wallet"], {}, Exit.USAGE),
        (["nonsense"], {}, Exit.USAGE),
        (["offers", "--limit", "0"], {}, Exit.USAGE),
        (["quote"], {}, Exit.USAGE),
        (["quote", "rtx-9999"], {}, Exit.USAGE),
        (["quote", "rtx-4090", "--max-price", "0.000001"], {}, Exit.CAPACITY),
        (["launch", "rtx-4090"], {}, Exit.USAGE),
        (["launch", "rtx-4090", "--timeout", "soon", "--yes"], {}, Exit.USAGE),
        (["stop", "rent_01J00000000000000000000000"], {}, Exit.USAGE),
    ],
)
def test_exit_code_says_what_kind_of_end_it_was(run, arguments, values, code):
    done = run(*arguments, **values)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert done.stderr
    assert "Traceback" not in done.stderr


def test_error_for_a_script_is_the_problem_document(run):
    problem = json.loads(run("show", "rent_01J00000000000000000000000", "--json").stderr)
    assert problem["code"] == "not_found"
    assert problem["request_id"].startswith("req_")


def test_account_without_money_can_not_rent_until_it_is_credited(service, run, told, public_key):
    server = f"postgresql://postgres@/hourglass?host={service.home}/postgres/run"
    operator = {"DATABASE_URL": server}
    opened = told("admin", "open-account", "Poor", "poor@example.com", "--credit", "0.01", **operator)
    as_poor = {"HOURGLASS_API_KEY": opened["api_key"]}
    launch = ("launch", "rtx-4090", "--yes", "--detach", "--ssh-key", public_key)
    assert run(*launch, **as_poor).returncode == Exit.FUNDS
    credit = ("admin", "credit", opened["account_id"], "5", "--reason", "a gift", "--reference", "gift-1")
    told(*credit, **operator)
    told(*credit, **operator)
    grant = (
        "admin",
        "grant",
        opened["account_id"],
        "3",
        "--reason",
        "welcome",
        "--reference",
        "welcome",
        "--days",
        "30",
    )
    assert run(*grant, **operator).stdout == "Granted.\n"
    assert "before" in run(*grant, **operator).stdout
    another = ("admin", "grant", opened["account_id"], "4", "--reason", "welcome", "--reference", "welcome")
    assert "another amount" in run(*another, **operator).stderr
    assert told("balance", **as_poor)["available"] == "8.01"
    rental = told(*launch, **as_poor)
    assert told("stop", rental["id"], "--yes", **as_poor)["status"] in {"stopping", "stopped"}
    reader = told("admin", "make-key", opened["account_id"], "--scope", "rentals:read", **operator)
    assert run("balance", HOURGLASS_API_KEY=reader["api_key"]).returncode == Exit.AUTH


def test_admin_refuses_what_can_not_be_meant(service, run):
    operator = {"DATABASE_URL": f"postgresql://postgres@/hourglass?host={service.home}/postgres/run"}
    unknown = "acct_01J00000000000000000000000"
    for arguments, code in (
        (("make-key", "nobody"), Exit.USAGE),
        (("make-key", unknown, "--scope", "everything"), Exit.USAGE),
        (("make-key", unknown), Exit.NOT_FOUND),
        (("credit", unknown, "0.0000001", "--reason", "x", "--reference", "x"), Exit.USAGE),
        (("credit", unknown, "NaN", "--reason", "x", "--reference", "x"), Exit.USAGE),
        (("credit", unknown, "5", "--reason", "x", "--reference", "x"), Exit.NOT_FOUND),
        (("grant", unknown, "5", "--reason", "x", "--reference", "x"), Exit.NOT_FOUND),
        (("grant", unknown, "5", "--reason", "x", "--reference", "x", "--days", "0"), Exit.USAGE),
    ):
        done = run("admin", *arguments, **operator)
        assert done.returncode == code, (arguments, done.stderr)
        assert "Traceback" not in done.stderr


def test_operator_without_a_database_is_told(run):
    assert run("migrate").returncode == Exit.USAGE
    done = run("admin", "open-account", "A", "a@example.com", DATABASE_URL="postgresql://u:hidden-word@127.0.0.1:9/d")
    assert done.returncode == Exit.FAILED
    assert "DATABASE_URL" in done.stderr
    assert "Traceback" not in done.stderr
    assert "hidden-word" not in done.stderr


def test_migrating_again_changes_nothing(service, told):
    server = f"postgresql://postgres@/hourglass?host={service.home}/postgres/run"
    assert told("migrate", DATABASE_URL=server) == {"status": "ready"}


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [
        (403, "policy_violation", Exit.POLICY),
        (403, "budget_exceeded", Exit.POLICY),
        (403, "scope_missing", Exit.AUTH),
        (402, "insufficient_balance", Exit.FUNDS),
        (409, "no_capacity", Exit.CAPACITY),
        (409, "quote_expired", Exit.CAPACITY),
        (409, "invalid_state", Exit.FAILED),
        (502, "provider_error", Exit.PROVIDER),
        (503, "provider_unavailable", Exit.PROVIDER),
        (500, "internal", Exit.FAILED),
        (422, "validation_failed", Exit.USAGE),
    ],
)
def test_exit_codes_of_the_wires_codes(status, code, exit_code):
    assert exit_code_of(status, {"code": code}) == exit_code
