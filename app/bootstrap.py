"""Bootstrap: turns settings into what the processes work with. The only place that reads settings and knows every room.

Everything that has to be secret follows from one text, the deployment's secret: the passwords of the database roles, the
pepper of API keys, the keys of cursors and of the vault, and the platform's SSH key.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field

from app import clouds
from app.kit.clock import Clock, SystemClock
from app.kit.db import Database
from app.kit.destinations import Rules
from app.kit.egress import Egress, context_trusting
from app.kit.private_files import read_private
from app.kit.rls import API, AUTH, WORKER
from app.kit.schema import role_url
from app.kit.vault import Vault
from app.mail import LogOutlet, Mailbox, Outlet, Smtp
from app.rentals.tools import PlatformKey, Tools
from app.settings import Settings, SettingsError
from app.tenancy import Authenticator
from app.tenancy.people import Sessions, Tokens
from app.tenancy.people.github import Github
from app.tenancy.people.signing_in import CALLBACK, OpenWallet, SignIn
from app.topups import LiveKeyError, Stripe, TopupTools
from app.wallet import open_wallet
from app.web import Cursors, Limiter, Site
from app.web.principal import Authenticate


@dataclass(frozen=True, slots=True)
class ApiState:
    """What the API process works with; it stands in ``app.state.hourglass``. Holds no cloud's credentials."""

    db: Database
    auth_db: Database
    clock: Clock
    authenticator: Authenticator
    cursors: Cursors
    limiter: Limiter
    vault: Vault
    topups: TopupTools
    sessions: Sessions | None = None
    sign_in: SignIn | None = None
    open_wallet: OpenWallet = open_wallet
    webhook_rules: Rules = field(default_factory=Rules)
    """Where customers' webhooks may lead."""

    @property
    def authenticate(self) -> Authenticate:
        """How keys are recognised."""
        return self.authenticator.authenticate

    async def aclose(self) -> None:
        """Write what is noted but not yet written, and close every connection."""
        try:
            await self.authenticator.write_last_used()
        finally:
            await _close_stripe(self.topups)
            await self.db.aclose()
            await self.auth_db.aclose()


@dataclass(frozen=True, slots=True)
class WorkerState:
    """What the worker process works with."""

    tools: Tools
    topups: TopupTools
    outlet: Outlet
    sender: Mailbox
    egress: Egress
    """The way to customers' webhooks."""

    async def aclose(self) -> None:
        """Close every connection."""
        for provider in self.tools.providers.values():
            await provider.aclose()
        await _close_stripe(self.topups)
        await self.egress.aclose()
        await self.tools.db.aclose()


def new_api_state(settings: Settings) -> ApiState:
    """Return the API's state; connections are made when first needed.

    Raises:
        SettingsError: no secret, no database, half of what GitHub needs, or a live key for a Stripe on this machine.
    """
    secret = secret_of(settings)
    db = Database.connect(database_url(settings, API), role="api", pool_size=settings.api_connections_max)
    auth_db = Database.connect(database_url(settings, AUTH), role="auth", pool_size=settings.auth_connections_max)
    tokens = Tokens(_derived(secret, "sessions"))
    sessions = Sessions(auth_db, tokens, Site.at(public_url_of(settings)))
    return ApiState(
        db=db,
        auth_db=auth_db,
        clock=SystemClock(),
        authenticator=Authenticator(auth_db, pepper_of(secret)),
        cursors=Cursors(_derived(secret, "cursors")),
        limiter=Limiter(
            per_key=settings.requests_per_minute_per_key,
            per_account=settings.requests_per_minute_per_account,
            failures_per_address=settings.failed_sign_ins_per_minute_per_address,
            sign_ins_per_address=settings.sign_ins_per_minute_per_address,
        ),
        vault=Vault(secret),
        topups=_topup_tools(settings, db),
        sessions=sessions,
        sign_in=_sign_in(settings, sessions, tokens, db=db, auth_db=auth_db),
        webhook_rules=_webhook_rules(settings),
    )


def new_worker_state(settings: Settings) -> WorkerState:
    """Return the worker's state; connections are made when first needed.

    Raises:
        SettingsError: no secret, no database, a live key for a Stripe on this machine, or mail that can't be sent.
        ExposedFileError: the home's SSH key can be read by others.
    """
    tools = new_tools(settings)
    topups = _topup_tools(settings, tools.db)
    return WorkerState(tools, topups, _outlet(settings), _sender(settings), _egress(settings))


def new_tools(settings: Settings) -> Tools:
    """Return the worker's tools; connections are made when first needed.

    Raises:
        SettingsError: no secret, no database, or half a cloud's settings.
        ExposedFileError: the home's SSH key can be read by others.
    """
    secret = secret_of(settings)
    return Tools(
        db=Database.connect(database_url(settings, WORKER), role="worker", pool_size=settings.worker_connections_max),
        providers=clouds.providers(settings, deployment=_deployment(settings, secret)),
        platform_key=PlatformKey.kept(settings.home / "platform_ssh_key", seed=_derived(secret, "platform ssh key")),
        vault=Vault(secret),
        clock=SystemClock(),
        deployment=_deployment(settings, secret),
        limits_of=clouds.limits(settings),
    )


def secret_of(settings: Settings) -> bytes:
    """Return the deployment's secret: from the environment, else the one that ``up`` keeps in the home.

    Raises:
        SettingsError: there is neither.
        ExposedFileError: the home's can be read by others.
    """
    if settings.secret is not None:
        return settings.secret.get_secret_value().encode()
    kept = read_private(settings.home / "secret")
    if not kept:
        raise SettingsError(
            "HOURGLASS_SECRET is not set, and there is no secret in HOURGLASS_HOME. Set it to a random text of at least "
            "32 characters, the same for every process of a deployment: openssl rand -hex 32"
        )
    return kept.encode()


def pepper_of(secret: bytes) -> bytes:
    """Return what API keys are hashed with."""
    return _derived(secret, "api keys")


def database_url(settings: Settings, role: str) -> str:
    """Return the URL by which a role logs in: its own where that is given, else derived from ``DATABASE_URL``.

    Raises:
        SettingsError: neither is set.
    """
    own = {API: settings.database_url_api, WORKER: settings.database_url_worker, AUTH: settings.database_url_auth}
    if (given := own.get(role)) is not None:
        return given.get_secret_value()
    return role_url(administrator_url(settings), role, secret=secret_of(settings))


def administrator_url(settings: Settings) -> str:
    """Return ``DATABASE_URL``.

    Raises:
        SettingsError: it is not set.
    """
    if settings.database_url is None:
        raise SettingsError(
            "DATABASE_URL is not set. Set it to a PostgreSQL, such as postgresql://user:password@host:5432/hourglass, or "
            "use `hourglass up`, which brings its own."
        )
    return settings.database_url.get_secret_value()


def _sign_in(
    settings: Settings, sessions: Sessions, tokens: Tokens, *, db: Database, auth_db: Database
) -> SignIn | None:
    if settings.github_client_id is None and settings.github_client_secret is None:
        return None
    if settings.github_client_id is None or settings.github_client_secret is None:
        raise SettingsError("GITHUB_CLIENT_ID and GITHUB_CLIENT_SECRET go together: set both, or neither.")
    github = Github(
        client_id=settings.github_client_id,
        client_secret=settings.github_client_secret.get_secret_value(),
        url=settings.github_url,
        api_url=settings.github_api_url,
        callback_url=f"{sessions.site.url}{CALLBACK}",
    )
    return SignIn(github, sessions, tokens, db=db, auth_db=auth_db, open_wallet=open_wallet)


def public_url_of(settings: Settings) -> str:
    """Return where browsers reach the service."""
    return settings.public_url or f"http://{settings.host}:{settings.port}"


def _topup_tools(settings: Settings, db: Database) -> TopupTools:
    return TopupTools(
        db=db,
        stripe=_stripe(settings),
        clock=SystemClock(),
        public_url=public_url_of(settings),
        deployment=_deployment(settings, secret_of(settings)),
    )


def _stripe(settings: Settings) -> Stripe | None:
    if settings.stripe_api_key is None:
        return None
    try:
        return Stripe(
            settings.stripe_api_key.get_secret_value(),
            base_url=settings.stripe_url,
            webhook_secrets=[secret.get_secret_value() for secret in settings.stripe_webhook_secrets],
            deployment=_deployment(settings, secret_of(settings)),
            on_call=clouds.count_call,
        )
    except LiveKeyError as error:
        raise SettingsError(f"STRIPE_API_KEY does not go with STRIPE_URL: {error}.") from None


def _outlet(settings: Settings) -> Outlet:
    if settings.smtp_url is None:
        return LogOutlet()
    try:
        return Smtp.from_url(settings.smtp_url.get_secret_value())
    except ValueError as error:
        raise SettingsError(f"HOURGLASS_SMTP_URL {error}.") from None


def _sender(settings: Settings) -> Mailbox:
    try:
        return Mailbox.parse(settings.mail_from)
    except ValueError as error:
        raise SettingsError(f"HOURGLASS_MAIL_FROM {error}. Set it to an address such as billing@example.com.") from None


def _egress(settings: Settings) -> Egress:
    try:
        return Egress(_webhook_rules(settings), context_trusting(settings.webhook_ca))
    except OSError:
        raise SettingsError("HOURGLASS_WEBHOOK_CA can't be read as a file of certificates.") from None


def _webhook_rules(settings: Settings) -> Rules:
    return Rules(settings.webhook_networks_allowed, settings.webhook_networks_refused)


async def _close_stripe(topups: TopupTools) -> None:
    if topups.stripe is not None:
        await topups.stripe.aclose()


def _deployment(settings: Settings, secret: bytes) -> str:
    return settings.deployment or _derived(secret, "deployment").hex()[:8]


def _derived(secret: bytes, purpose: str) -> bytes:
    return hmac.new(secret, purpose.encode(), hashlib.sha256).digest()
