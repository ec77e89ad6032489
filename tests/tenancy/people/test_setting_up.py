from __future__ import annotations

import pytest
from pydantic import SecretStr

from app.bootstrap import new_api_state
from app.settings import Settings, SettingsError

from .conftest import told


@pytest.fixture
def settings(databases):
    return Settings(
        secret=SecretStr("a secret that is long enough for a test"),
        database_url=SecretStr(databases.urls.admin),
        public_url="https://gpus.example",
        github_client_id=None,
        github_client_secret=None,
    )


async def test_without_githubs_words_nobody_signs_in_but_sessions_are_still_recognised(settings):
    state = new_api_state(settings)
    assert state.sign_in is None
    assert state.sessions.site.origin == "https://gpus.example"
    await state.aclose()


@pytest.mark.parametrize("half", [{"github_client_id": "canary"}, {"github_client_secret": SecretStr("canary")}])
def test_half_of_them_is_refused_by_name_and_not_repeated(settings, half):
    with pytest.raises(SettingsError, match="GITHUB_CLIENT_ID and GITHUB_CLIENT_SECRET") as refused:
        new_api_state(settings.changed(**half))
    assert "canary" not in str(refused.value)


async def test_with_both_a_browser_goes_to_github_and_comes_back_below_the_public_url(settings):
    state = new_api_state(settings.changed(github_client_id="ours", github_client_secret=SecretStr("secret")))
    url = state.sign_in._github.departure(state="s" * 43, verifier="v" * 43)
    assert url.startswith("https://github.com/login/oauth/authorize?")
    assert told(url)["client_id"] == "ours"
    assert told(url)["redirect_uri"] == "https://gpus.example/v1/auth/github/callback"
    await state.aclose()


async def test_over_https_the_browsers_cookies_are_of_the_kind_that_no_other_host_can_plant(found_town):
    async with found_town(scheme="https") as town, town.browser() as browser:
        answer = await browser.http.get(town.url.replace("https", "http") + "/v1/auth/github")
        cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-hourglass-sign-in=")
    assert set(cookie.split("; ")[1:]) == {"Path=/", "Max-Age=600", "Secure", "HttpOnly", "SameSite=Lax"}
    assert told(answer.headers["location"])["redirect_uri"].startswith("https://")
