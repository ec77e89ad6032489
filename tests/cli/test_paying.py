"""Money from a card, the way a person brings it: in a browser, on a running service."""

import asyncio
import json
import re
import shutil
import sys
import tempfile
import time
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import async_playwright, expect

from .conftest import environment, free_ports, hourglass, running, short_directory

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-quic", "--no-first-run",
         "--disable-component-update", "--disable-sync")  # fmt: skip

browsing = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt install chromium")


@pytest.fixture
def place_of(bank):
    """What the command line needs to find the service and its demo account."""
    return {"HOURGLASS_HOME": str(bank.home), "HOURGLASS_PORT": str(bank.port), "XDG_CONFIG_HOME": str(bank.home)}


@asynccontextmanager
async def browser_page():
    """A page of a headless browser that knows nothing yet."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch_persistent_context(
                profile, executable_path=CHROMIUM, headless=True, args=FLAGS
            )
            try:
                yield await browser.new_page()
            finally:
                await browser.close()


@pytest.fixture(scope="module")
def bank():
    """A service of this file's own: what is paid here changes its demo account."""
    with short_directory() as directory, running(directory / "home", free_ports()) as started:
        yield started


@pytest.fixture
def api(bank):
    with bank.api() as client:
        yield client


def open_checkout(api, amount, key, **more):
    answer = api.post(
        "/v1/billing/checkout-sessions", json={"amount": amount, **more}, headers={"Idempotency-Key": key}
    )
    assert answer.status_code == 201, answer.text
    return answer.json()


async def pay(page, session, number):
    await page.goto(session["url"])
    await page.get_by_label("Card number").fill(number)
    await page.get_by_label("Expiry").fill("12 / 40")
    await page.get_by_label("CVC").fill("123")
    await page.get_by_label("Cardholder name").fill("A Payer")
    await page.get_by_role("button", name="Pay $").click()


def until(deed, seconds=30):
    """Wait until something is so, and return it."""
    end = time.monotonic() + seconds
    while not (found := deed()):
        assert time.monotonic() < end, "it did not become so"
        time.sleep(0.2)
    return found


def movements(api, kind):
    return api.get("/v1/billing/ledger", params={"kind": kind}).json()["data"]


@browsing
async def test_twenty_five_dollars_paid_in_a_browser_stand_in_the_ledger(api):
    before = float(api.get("/v1/wallet").json()["available"])
    session = open_checkout(api, "25.00", "browser-deposit", save_card=True)
    async with browser_page() as page:
        await pay(page, session, "4000000000000002")
        await expect(page.get_by_role("alert")).to_contain_text("declined", timeout=20_000)
        assert movements(api, "deposit") == []
        await pay(page, session, "4242424242424242")
        await page.wait_for_url("**/v1/billing/return**")
        await expect(page.get_by_text("Thank you")).to_be_visible(timeout=20_000)
    [deposit] = until(lambda: movements(api, "deposit"))
    assert (deposit["amount"], deposit["debit"], deposit["credit"]) == ("25.00", "funding", "available")
    assert float(api.get("/v1/wallet").json()["available"]) == before + 25
    told = api.get(f"/v1/billing/checkout-sessions/{session['id']}").json()
    assert (told["status"], told["payment_id"]) == ("complete", deposit["refs"]["payment_id"])
    [card] = api.get("/v1/billing/payment-methods").json()["data"]
    assert (card["brand"], card["last4"]) == ("visa", "4242")


@browsing
async def test_saved_card_refills_the_wallet_once_it_runs_low(api):
    session = open_checkout(api, "3.00", "browser-card", save_card=True)
    async with browser_page() as page:
        await pay(page, session, "4242424242424242")
        await page.wait_for_url("**/v1/billing/return**")
    until(lambda: [row for row in movements(api, "deposit") if row["amount"] == "3.00"])
    available = float(api.get("/v1/wallet").json()["available"])
    rule = {
        "mode": "fixed",
        "threshold": f"{available:.2f}",
        "amount": "25.00",
        "monthly_cap": "50.00",
        "consent": {"text_version": "2026-11", "accepted": True},
    }
    assert api.put("/v1/wallet/auto-topup", json=rule).status_code == 200
    assert movements(api, "auto_topup") == [], "nothing runs, so nothing is charged"
    rental = api.post(
        "/v1/rentals",
        json={"family": "rtx-4090", "max_price_per_hour": "5.00", "max_spend": "2.00"},
        headers={"Idempotency-Key": "browser-rental"},
    )
    assert rental.status_code == 202, rental.text
    [refill] = until(lambda: movements(api, "auto_topup"))
    assert refill["amount"] == "25.00"
    api.post(f"/v1/rentals/{rental.json()['id']}/stop", headers={"Idempotency-Key": "browser-stop"})
    [attempt] = api.get("/v1/wallet/auto-topup/attempts").json()["data"]
    assert (attempt["state"], attempt["payment_id"]) == ("succeeded", refill["refs"]["payment_id"])
    api.delete("/v1/wallet/auto-topup")


@browsing
async def test_command_line_waits_while_its_page_is_paid(place_of):
    command = (sys.executable, "-m", "app", "topup", "12.50", "--save-card")
    process = await asyncio.create_subprocess_exec(
        *command, env=environment(**place_of), cwd="/", stdout=asyncio.subprocess.PIPE
    )
    said = ""
    while (found := re.search(r"http://\S+", said)) is None:
        said += (await asyncio.wait_for(process.stdout.readline(), 40)).decode()
    async with browser_page() as page:
        await pay(page, {"url": found[0]}, "4242424242424242")
        await page.wait_for_url("**/v1/billing/return**")
    rest = (await asyncio.wait_for(process.stdout.read(), 40)).decode()
    assert await process.wait() == 0
    assert re.search(r"^Available +\d", rest, re.MULTILINE)
    assert "12.50" in hourglass("ledger", "--kind", "deposit", **place_of).stdout


@browsing
async def test_rule_is_set_and_turned_off_from_the_command_line(place_of, api):
    session = open_checkout(api, "1.00", "browser-rule", save_card=True)
    async with browser_page() as page:
        await pay(page, session, "4242424242424242")
        await page.wait_for_url("**/v1/billing/return**")
    until(lambda: api.get("/v1/billing/payment-methods").json()["data"])
    terms = ("--threshold", "5", "--amount", "10", "--monthly-cap", "20")
    refused = hourglass("auto-topup", "set", *terms, **place_of)
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    told = json.loads(hourglass("auto-topup", "set", *terms, "--yes", "--json", **place_of).stdout)
    assert (told["threshold"], told["monthly_cap"]) == ("5.00", "20.00")
    assert told["state"] in {"active", "cooling"}, "it cools where a charge has just gone well"
    assert hourglass("auto-topup", "set", "--threshold", "5", "--monthly-cap", "20", **place_of).returncode == 2
    assert "off" in hourglass("auto-topup", "off", **place_of).stdout
    assert hourglass("auto-topup", "attempts", **place_of).returncode == 0
    assert hourglass("auto-topup", "resume", **place_of).returncode == 4
