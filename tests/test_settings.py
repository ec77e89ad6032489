import pytest
from pydantic import ValidationError

from app.bootstrap import (
    administrator_url,
    database_url,
    new_api_state,
    new_tools,
    new_worker_state,
    secret_of,
)
from app.kit.private_files import ExposedFileError
from app.kit.rls import API, WORKER
from app.settings import Settings, SettingsError, read_settings

SECRET = "0123456789abcdef" * 4


@pytest.fixture
def env(monkeypatch, tmp_path):
    """Sets variables; none of ours is set before."""
    import os

    for name in list(os.environ):
        if name.startswith(("HOURGLASS_", "DATABASE_URL", "VAST_", "LAMBDA_", "STRIPE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOURGLASS_HOME", str(tmp_path))

    def setting(**values):
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        return read_settings()

    return setting


def test_defaults_are_for_this_machine_and_hold_no_secret(env):
    settings = env()
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.secret is settings.vast_api_key is settings.lambda_api_key is settings.database_url is None


def test_settings_do_not_change(env):
    with pytest.raises(ValidationError):
        env().port = 1


def test_empty_variable_is_as_good_as_none(env):
    assert env(HOURGLASS_SECRET="", DATABASE_URL="").secret is None


def test_wrong_values_are_named_by_variable_and_never_shown(env):
    with pytest.raises(SettingsError) as told:
        env(
            HOURGLASS_PORT="99999",
            HOURGLASS_SECRET="short-secret-word",
            DATABASE_URL="mysql://u:pass-word@h/d",
            VAST_URL="ftp://x",
            HOURGLASS_DEPLOYMENT="UPPER",
        )
    for name in ("HOURGLASS_PORT", "HOURGLASS_SECRET", "DATABASE_URL", "VAST_URL", "HOURGLASS_DEPLOYMENT"):
        assert name in str(told.value)
    assert "short-secret-word" not in str(told.value)
    assert "pass-word" not in str(told.value)


def test_showing_settings_shows_no_secret(env):
    shown = repr(env(HOURGLASS_SECRET=SECRET, VAST_API_KEY="vast-word", DATABASE_URL="postgresql://u:pass-word@h/d"))
    assert SECRET not in shown
    assert "vast-word" not in shown
    assert "pass-word" not in shown


def test_drivers_name_in_a_database_url_is_taken_off(env):
    settings = env(DATABASE_URL="postgresql+asyncpg://u:p@h:5432/d")
    assert administrator_url(settings) == "postgresql://u:p@h:5432/d"
    assert administrator_url(env(DATABASE_URL="postgres://u:p@h/d")) == "postgresql://u:p@h/d"


def test_roles_have_urls_of_their_own_or_derived_ones(env):
    settings = env(
        HOURGLASS_SECRET=SECRET, DATABASE_URL="postgresql://u:p@h/d", DATABASE_URL_API="postgresql://a:b@other/d"
    )
    assert database_url(settings, API) == "postgresql://a:b@other/d"
    worker = database_url(settings, WORKER)
    assert worker.startswith("postgresql://hourglass_worker:")
    assert worker.endswith("@h/d")


def test_without_secret_or_database_it_is_told_what_to_set(env):
    with pytest.raises(SettingsError, match="HOURGLASS_SECRET"):
        secret_of(env())
    with pytest.raises(SettingsError, match="DATABASE_URL"):
        new_api_state(env(HOURGLASS_SECRET=SECRET))


def test_secret_in_the_home_counts_when_nobody_else_can_read_it(env, tmp_path):
    kept = tmp_path / "secret"
    kept.write_text(SECRET + "\n")
    kept.chmod(0o600)
    assert secret_of(env()) == SECRET.encode()
    assert secret_of(env(HOURGLASS_SECRET="f" * 40)) == b"f" * 40
    kept.chmod(0o644)
    with pytest.raises(ExposedFileError, match="chmod 600"):
        secret_of(env(HOURGLASS_SECRET=""))


async def test_workers_of_one_deployment_come_to_the_same_key_and_marker(env, tmp_path):
    url = "postgresql://u:p@127.0.0.1/d"
    first = new_tools(env(HOURGLASS_SECRET=SECRET, DATABASE_URL=url, HOURGLASS_HOME=str(tmp_path / "one")))
    second = new_tools(env(HOURGLASS_HOME=str(tmp_path / "two")))
    other = new_tools(env(HOURGLASS_HOME=str(tmp_path / "three"), HOURGLASS_SECRET="f" * 40))
    assert first.platform_key.public == second.platform_key.public != other.platform_key.public
    assert first.deployment == second.deployment != other.deployment
    assert first.platform_key.public.startswith("ssh-ed25519 ")
    assert (tmp_path / "one" / "platform_ssh_key").stat().st_mode & 0o077 == 0


async def test_only_clouds_whose_key_is_set_are_used(env):
    given = {"HOURGLASS_SECRET": SECRET, "DATABASE_URL": "postgresql://u:p@127.0.0.1/d"}
    assert not new_tools(env(**given)).providers
    assert list(new_tools(env(**given, LAMBDA_API_KEY="k")).providers) == ["lambda"]
    assert list(new_tools(env(**given, VAST_API_KEY="k")).providers) == ["vast", "lambda"]


async def test_a_live_key_is_never_told_to_a_stripe_on_this_machine(env):
    given = {"HOURGLASS_SECRET": SECRET, "DATABASE_URL": "postgresql://u:p@127.0.0.1/d", "STRIPE_API_KEY": "sk_live_1"}
    assert new_api_state(env(**given)).topups.stripe.livemode
    with pytest.raises(SettingsError, match="STRIPE_API_KEY"):
        new_api_state(env(STRIPE_URL="http://127.0.0.1:8001"))
    assert not new_api_state(env(STRIPE_API_KEY="sk_test_1")).topups.stripe.livemode


def test_two_webhook_secrets_stand_while_one_is_rolled(env):
    settings = env(STRIPE_WEBHOOK_SECRETS="whsec_new, whsec_old,")
    assert [secret.get_secret_value() for secret in settings.stripe_webhook_secrets] == ["whsec_new", "whsec_old"]


async def test_mail_that_can_not_be_sent_is_told_at_the_start(env):
    given = {"HOURGLASS_SECRET": SECRET, "DATABASE_URL": "postgresql://u:p@127.0.0.1/d"}
    for name, value in (("HOURGLASS_SMTP_URL", "http://canary@host"), ("HOURGLASS_MAIL_FROM", "nobody")):
        with pytest.raises(SettingsError, match=name) as told:
            new_worker_state(env(**given, **{name: value}))
        assert "canary" not in str(told.value)
        env(**{name: ""})


def test_settings_can_be_made_in_code():
    assert Settings(port=1234).changed(port=5678).port == 5678
