"""Settings: what the environment says about one deployment. Nothing here is read before somebody makes a ``Settings``.

Names are ``HOURGLASS_…``; ``DATABASE_URL…`` and the clouds' own names are plain, as others write them too. A secret has
no default: without ``HOURGLASS_SECRET`` only the one that ``hourglass up`` has made in its home is used.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

_SECRET_CHARACTERS_MIN = 32


def _web_url(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://")
    return value.rstrip("/")


def _database_url(value: str) -> str:
    scheme, separator, rest = value.partition("://")
    if scheme.partition("+")[0] not in {"postgres", "postgresql"} or not separator:
        raise ValueError("must begin with postgresql://")
    return f"postgresql://{rest}"


WebUrl = Annotated[str, AfterValidator(_web_url)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(lambda value: SecretStr(_database_url(value.get_secret_value())))]
Port = Annotated[int, Field(ge=1, le=65_535)]


class Settings(BaseSettings):
    """One deployment. Frozen; units are in the names."""

    model_config = SettingsConfigDict(
        env_prefix="HOURGLASS_", env_ignore_empty=True, extra="ignore", frozen=True, populate_by_name=True
    )

    home: Path = Path(".hourglass")
    """Where ``up`` keeps its database, secret, keys and logs."""
    host: str = "127.0.0.1"
    port: Port = 8000
    """Where the API listens. ``up`` gives the next four ports to the sandbox, its machines, the worker and the sandbox's Modal."""
    worker_port: Port | None = None
    """Where the worker answers ``/metrics`` and ``/healthz``; nowhere without."""
    secret: SecretStr | None = None
    """From which cursors' keys and the passwords of the database roles follow."""
    deployment: Annotated[str, Field(pattern=r"^[a-z0-9]{1,16}$")] | None = None
    """Marks our machines at the clouds. Without, it follows from the secret: two deployments never share one."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    database_url: DatabaseUrl | None = Field(default=None, validation_alias="DATABASE_URL")
    """A user who may create roles, or finds them made. The roles' own URLs follow from it unless given."""
    database_url_api: DatabaseUrl | None = Field(default=None, validation_alias="DATABASE_URL_API")
    database_url_worker: DatabaseUrl | None = Field(default=None, validation_alias="DATABASE_URL_WORKER")
    database_url_auth: DatabaseUrl | None = Field(default=None, validation_alias="DATABASE_URL_AUTH")
    api_connections_max: Annotated[int, Field(ge=1, le=500)] = 10
    auth_connections_max: Annotated[int, Field(ge=1, le=500)] = 4
    worker_connections_max: Annotated[int, Field(ge=1, le=500)] = 16

    requests_per_minute_per_key: Annotated[int, Field(ge=1)] = 600
    requests_per_minute_per_account: Annotated[int, Field(ge=1)] = 1200
    failed_sign_ins_per_minute_per_address: Annotated[int, Field(ge=1)] = 60
    sign_ins_per_minute_per_address: Annotated[int, Field(ge=1)] = 60
    """How many may be begun."""
    trusted_proxies: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = ()
    """Networks of our own proxies, separated by commas: of a request from there, ``X-Forwarded-For`` says whose it is.
    Without, everybody behind a proxy has the proxy's address: for limits, keys' allowed addresses and the audit."""

    vast_url: WebUrl = Field(default="https://console.vast.ai", validation_alias="VAST_URL")
    vast_api_key: SecretStr | None = Field(default=None, validation_alias="VAST_API_KEY")
    lambda_url: WebUrl = Field(default="https://cloud.lambda.ai", validation_alias="LAMBDA_URL")
    lambda_api_key: SecretStr | None = Field(default=None, validation_alias="LAMBDA_API_KEY")
    lambda_ssh_port: Port = Field(default=22, validation_alias="LAMBDA_SSH_PORT")
    runpod_url: WebUrl = Field(default="https://api.runpod.io", validation_alias="RUNPOD_URL")
    runpod_api_key: SecretStr | None = Field(default=None, validation_alias="RUNPOD_API_KEY")
    hyperstack_url: WebUrl = Field(default="https://infrahub-api.nexgencloud.com/v1", validation_alias="HYPERSTACK_URL")
    hyperstack_api_key: SecretStr | None = Field(default=None, validation_alias="HYPERSTACK_API_KEY")
    hyperstack_ssh_port: Port = Field(default=22, validation_alias="HYPERSTACK_SSH_PORT")
    modal_url: WebUrl = Field(default="https://api.modal.com", validation_alias="MODAL_SERVER_URL")
    modal_token_id: SecretStr | None = Field(default=None, validation_alias="MODAL_TOKEN_ID")
    modal_token_secret: SecretStr | None = Field(default=None, validation_alias="MODAL_TOKEN_SECRET")
    """Both tokens are needed, and the ``modal`` package: ``pip install 'hourglass[modal]'``."""
    price_sheet: Path | None = None
    """A price sheet for machines of a cloud that tells no prices: see ``docs/price-sheets.md``."""
    desk_url: WebUrl | None = None
    """The desk that rents the sheet's machines out; its five calls are described there too."""
    desk_token: SecretStr | None = None
    """What the desk knows us by. Sheet, URL and token go together."""

    public_url: WebUrl | None = None
    """Where customers reach the API: what cards' pages return to. Without, the host and port."""
    github_client_id: str | None = Field(default=None, validation_alias="GITHUB_CLIENT_ID")
    """This service's OAuth app at GitHub; its callback is ``/v1/auth/github/callback`` below the public URL."""
    github_client_secret: SecretStr | None = Field(default=None, validation_alias="GITHUB_CLIENT_SECRET")
    """Goes with the id; without both nobody signs in, and keys alone open the API."""
    github_url: WebUrl = Field(default="https://github.com", validation_alias="GITHUB_URL")
    github_api_url: WebUrl = Field(default="https://api.github.com", validation_alias="GITHUB_API_URL")
    stripe_api_key: SecretStr | None = Field(default=None, validation_alias="STRIPE_API_KEY")
    """``sk_test_…`` or ``sk_live_…``; without it no card is taken."""
    stripe_url: WebUrl = Field(default="https://api.stripe.com", validation_alias="STRIPE_URL")
    stripe_webhook_secrets: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(), validation_alias="STRIPE_WEBHOOK_SECRETS"
    )
    """Separated by commas; two while one is being rolled."""
    smtp_url: SecretStr | None = None
    """``smtp://user:password@host:587`` (STARTTLS where offered) or ``smtps://…``; without it mail goes to the log."""
    mail_from: str = "Hourglass <billing@localhost>"

    webhook_networks_allowed: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = ()
    """Networks that are not public and to which customers' webhooks may be sent all the same, separated by commas."""
    webhook_networks_refused: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = ()
    """Public networks, such as one's own, to which they may not."""
    webhook_ca: Path | None = None
    """A file of authorities that receivers' certificates may be of, beside the public ones."""

    @field_validator(
        "stripe_webhook_secrets",
        "trusted_proxies",
        "webhook_networks_allowed",
        "webhook_networks_refused",
        mode="before",
    )
    @classmethod
    def _are_separated_by_commas(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("secret")
    @classmethod
    def _is_long(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < _SECRET_CHARACTERS_MIN:
            raise ValueError(f"must have at least {_SECRET_CHARACTERS_MIN} characters; try: openssl rand -hex 32")
        return value

    def changed(self, **values: object) -> Settings:
        """Return the same settings with other values for some names."""
        return self.model_copy(update=values)


class SettingsError(Exception):
    """The environment can't be used; the message names each variable and never repeats a value."""


def read_settings() -> Settings:
    """Return what the environment says.

    Raises:
        SettingsError: a variable has a value that can't be.
    """
    try:
        return Settings()
    except ValidationError as error:
        lines = [f"{_variable(item['loc'])} {_cause(item['msg'])}." for item in error.errors()]
        raise SettingsError("\n".join(lines)) from None


def _variable(loc: tuple[int | str, ...]) -> str:
    name = str(loc[0]) if loc else ""
    return name if name.isupper() else f"HOURGLASS_{name.upper()}"


def _cause(message: str) -> str:
    return message.removeprefix("Value error, ").replace("Input should", "should")
