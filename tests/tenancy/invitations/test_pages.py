"""The page that an invitation's mail leads to, in a browser."""

from __future__ import annotations

import asyncio
import shutil
import socket
from contextlib import AsyncExitStack

import pytest
import uvicorn
from playwright.async_api import async_playwright, expect

from app.kit.ids import UserId
from app.tenancy.people import Sessions, Tokens, session_endpoints
from app.web import Site
from tests.tenancy.conftest import World

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-quic", "--no-first-run",
         "--disable-component-update", "--disable-sync")  # fmt: skip


@pytest.fixture
async def site(app, state, auth_db):
    app.include_router(session_endpoints.router)
    with socket.socket(proto=socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        made = Site.at(f"http://127.0.0.1:{listening.getsockname()[1]}")
        state.sessions = Sessions(auth_db, Tokens(b"tokens for tests"), made)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", ws="none"))
        running = asyncio.create_task(server.serve(sockets=[listening]))
        yield made
        server.should_exit = True
        await running


@pytest.fixture
async def browser(tmp_path):
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch_persistent_context(
            tmp_path / "profile", executable_path=CHROMIUM, headless=True, args=FLAGS
        )
        yield started
        await started.close()


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt install chromium")
async def test_a_person_signs_in_and_joins(app, state, site, browser, worker_db):
    async with AsyncExitStack() as stack:
        world = World(app, state, worker_db, stack, site=site)
        org, owner = await world.open(name="Lab <b>")
        await owner.told("POST", "/v1/invitations", {"email": f"{org.id.lower()}@example.com", "role": "viewer"})
        [mail] = await world.read("SELECT data FROM mails WHERE account_id = :a", a=org.id)
        elsewhere, _ = await world.open()
        person = UserId.new()
        ada = await world.sign_in(person, name="Ada", emails=[f"{org.id.lower()}@example.com"], account_id=elsewhere.id)

        page = await browser.new_page()
        asked = []
        page.on("request", lambda request: asked.append((request.method, request.url, dict(request.headers))))
        await page.goto(f"{mail.data['page']}#{mail.data['token']}")
        await expect(page.locator("#said")).to_have_text("Sign in with the account whose address was invited.")
        assert mail.data["token"] not in page.url
        link = page.get_by_role("link", name="Sign in with GitHub")
        assert await link.get_attribute("href") == "/v1/auth/github?return_to=/v1/invitations/accept"

        name, _, secret = ada.client.headers["Cookie"].partition("=")
        await browser.add_cookies([{"name": name, "value": secret, "url": site.url}])
        await page.goto(f"{site.url}/v1/invitations/accept")
        await expect(page.locator("#said")).to_have_text("You are signed in as Ada.")
        await page.get_by_role("button", name="Join").click()
        await expect(page.locator("#said")).to_have_text("You have joined Lab <b>.")
        assert not [url for _, url, headers in asked if mail.data["token"] in url + str(headers)]
        assert (await owner.told("GET", f"/v1/members/{person}"))["role"] == "viewer"
