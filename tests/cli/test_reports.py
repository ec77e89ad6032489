"""Reports, as they are typed, on an API with nothing else."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.cli.errors import Exit
from app.kit.ids import ApiKeyId
from app.reports import endpoints
from app.web import SCOPES, Principal
from tests.reports.conftest import HandClock, State
from tests.reports.ground import Books, day

from .serving import serving, typed_at

NOON = day("2026-03-01", hours=12)


@pytest.fixture
async def served(api_db, worker_db, new_account):
    """The URL of the API, for one who may see an account that spent $2 of a team's and $1 of nobody's."""
    account = await new_account(micros=100_000_000)
    books = Books(worker_db, account)
    for seconds, team in ((2000, await books.team("research", NOON)), (1000, None)):
        ran = await books.rent(NOON, team_id=team, tags={"project": "alpha"})
        await books.start(ran, NOON)
        await books.end(ran, NOON + timedelta(seconds=seconds))
    caller = Principal(account, ApiKeyId.new(), None, SCOPES, live=True, name="test")
    state = State(api_db, HandClock(NOON + timedelta(hours=2)), {"secret": caller})
    async with serving(state, endpoints.router) as url:
        yield url


@pytest.fixture
def run(served, tmp_path):
    """Run one of the report's commands."""
    typed = typed_at(served, "secret", tmp_path)
    return lambda *arguments: typed("report", *arguments)


async def test_spending_for_people_for_scripts_and_for_spreadsheets(run, told):
    assert (await run("spend")).stdout == "Team Spending Report:\n  research: $2.00\n  no team: $1.00\nTotal: $3.00\n"
    assert (await run("spend", "--by", "tag:project")).stdout.startswith(
        'Tag "project" Spending Report:\n  alpha: $3.00'
    )
    assert (await told("spend", "--by", "day", "--since", "2026-03-01"))["total"]["net"] == "3.00"
    assert (await run("spend", "--csv")).stdout.splitlines()[0] == "key,name,rentals,seconds,charged,refunded,net"
    assert (await run("spend", "--by", "weather")).exception.exit_code == Exit.USAGE
    assert (await run("spend", "--by", "weather", "--csv")).exception.exit_code == Exit.USAGE


async def test_a_chargeback_is_shown_or_written(run, told, tmp_path):
    shown = (await run("chargeback", "2026-03")).stdout
    assert "research" in shown
    assert "3.00" in shown
    assert (await told("chargeback", "2026-03"))["object"] == "chargeback"
    assert (await run("chargeback", "2026-03", "--format", "csv")).stdout.startswith("month,team_id,team,rentals,")
    paper = tmp_path / "paper.pdf"
    assert (await run("chargeback", "2026-03", "--format", "pdf", "-o", str(paper))).exit_code == 0
    assert paper.read_bytes().startswith(b"%PDF-")
    assert (await run("chargeback", "2026-04")).exception.exit_code == Exit.NOT_FOUND


async def test_forecast_and_idle_waste_explain_themselves(run, told):
    assert "of the month are left" in (await run("forecast")).stdout
    assert (await told("forecast"))["pace"]["spent"] == "3.00"
    assert (await run("idle")).stdout == "No GPU was watched.\nIdle: 0 GPU seconds, $0.00 (estimated)\n"
    assert (await told("idle"))["idle_percent"] == 5
