"""Opening accounts, making keys and crediting wallets, as the worker role: for ``up`` and for ``admin``."""

from __future__ import annotations

import getpass
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta

from sqlalchemy.exc import IntegrityError

from app import audit, tenancy, wallet
from app.bootstrap import database_url, pepper_of, public_url_of, secret_of
from app.cli.errors import CliError, Exit
from app.cli.home import Demo, Home
from app.cli.preparing import database_told_plainly
from app.kit.clock import SystemClock
from app.kit.db import Database
from app.kit.errors import AppError, NotFound
from app.kit.ids import AccountId, ApiKeyId, InvitationId
from app.kit.rls import AUTH, WORKER
from app.ledger import KeyReusedError, NoWalletError
from app.mail import BadAddressError, Mailbox
from app.settings import Settings
from app.web import SCOPES
from app.web.errors import Forbidden, Unauthorized
from app.web.origin import Origin, acting

DEMO_MICROS = 50_000_000


@asynccontextmanager
async def opened(settings: Settings, role: str) -> AsyncIterator[Database]:
    """Open the database as a role for a few statements; what they change is the operator's act.

    Raises:
        UpError: it does not answer, or refuses the login.
    """
    db = Database.connect(database_url(settings, role), role="admin", pool_size=1)
    try:
        async with database_told_plainly():
            with acting(Origin(audit.OPERATOR, address=_place())):
                yield db
    finally:
        await db.aclose()


def _place() -> str:
    """Return who of this machine, by its own names, is the operator."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):  # a container may have no name for its user
        return socket.gethostname()


async def open_account(settings: Settings, *, name: str, email: str, micros: int) -> AccountId:
    """Open an account with its wallet and an opening credit; return its id."""
    at = SystemClock().now()
    async with opened(settings, WORKER) as db, db.begin_unscoped() as session:
        account = await tenancy.open_account(session, name=name, email=email, at=at)
        await wallet.open_wallet(session, account_id=account.account_id, at=at)
        await audit.write(session, audit.Entry(account.account_id, "account.opened", account.account_id, at))
        if micros:
            await wallet.credit_adjustment(
                session,
                account_id=account.account_id,
                amount=micros,
                reference="opening",
                reason="opening credit",
                actor="operator",
                at=at,
            )
    return account.account_id


async def make_key(
    settings: Settings, account_id: AccountId, *, name: str, scopes: Iterable[str] = SCOPES
) -> tuple[ApiKeyId, str]:
    """Make a key of an account; return its id and its secret, which nobody can read again.

    Raises:
        CliError: there is no such account.
    """
    terms = tenancy.KeyTerms(name, frozenset(scopes))
    pepper = pepper_of(secret_of(settings))
    try:
        async with opened(settings, WORKER) as db, db.begin_unscoped() as session:
            at = SystemClock().now()
            made = await tenancy.create_key(session, terms, account_id=account_id, pepper=pepper, at=at)
            told = {"after": {"name": name, "scopes": terms.scopes}}
            await audit.write(session, audit.Entry(account_id, "api_key.created", made.row.id, at, details=told))
            return ApiKeyId(made.row.id), made.secret
    except IntegrityError:
        raise _no_account(account_id) from None


async def invite_owner(settings: Settings, account_id: AccountId, *, email: str) -> InvitationId:
    """Ask somebody by mail to own an account, such as the one that was opened for it; return the invitation's id.

    Raises:
        CliError: there is no such account, the address is none, or an invitation to it is open.
    """
    post = tenancy.InvitationPost.by(pepper_of(secret_of(settings)), public_url_of(settings))
    try:
        to = Mailbox.of(email).address
        async with opened(settings, WORKER) as db, db.begin_unscoped() as session:
            at = SystemClock().now()
            invited = await tenancy.invite_owner(session, account_id=account_id, email=to, post=post, at=at)
            told = {"after": {"email": to, "role": "owner"}}
            await audit.write(session, audit.Entry(account_id, "invitation.created", invited, at, details=told))
            return invited
    except BadAddressError:
        raise CliError(f"{email!r} is no mail address.", exit_code=Exit.USAGE) from None
    except NotFound:
        raise _no_account(account_id) from None
    except AppError as refused:
        raise CliError(refused.detail) from None


async def credit(settings: Settings, account_id: AccountId, *, micros: int, reference: str, reason: str) -> None:
    """Credit a wallet. The same reference credits once.

    Raises:
        CliError: there is no such account.
    """
    async with opened(settings, WORKER) as db, db.begin_unscoped() as session:
        try:
            await wallet.credit_adjustment(
                session,
                account_id=account_id,
                amount=micros,
                reference=reference,
                reason=reason,
                actor="operator",
                at=SystemClock().now(),
            )
        except (NoWalletError, KeyError):
            raise _no_account(account_id) from None


async def grant(
    settings: Settings,
    account_id: AccountId,
    *,
    micros: int,
    reference: str,
    reason: str,
    days: int | None,
    priority: int,
) -> bool:
    """Grant promotional credit; return whether this was new. The same reference grants once.

    Raises:
        CliError: there is no such account, or the reference stands for another amount.
    """
    at = SystemClock().now()
    try:
        async with opened(settings, WORKER) as db, db.begin_unscoped() as session:
            return await wallet.grant_promo(
                session,
                account_id=account_id,
                amount=micros,
                reference=reference,
                reason=reason,
                actor="operator",
                at=at,
                expires_at=None if days is None else at + timedelta(days=days),
                priority=priority,
            )
    except NoWalletError:
        raise _no_account(account_id) from None
    except KeyReusedError:
        raise CliError(f"{reference} stands for another amount.") from None


def _no_account(account_id: AccountId) -> CliError:
    return CliError(f"There is no account {account_id}.", exit_code=Exit.NOT_FOUND)


async def demo_of(settings: Settings, home: Home) -> Demo:
    """Return the home's demo account, as it was kept if its key still opens this database, else a new one."""
    kept = home.demo()
    if kept is not None and await _opens(settings, kept):
        return kept
    account_id = await open_account(settings, name="Demo", email="demo@localhost", micros=DEMO_MICROS)
    _, secret = await make_key(settings, account_id, name="demo")
    demo = Demo(account_id, secret)
    home.keep_demo(demo)
    return demo


async def _opens(settings: Settings, demo: Demo) -> bool:
    async with opened(settings, AUTH) as db:
        authenticator = tenancy.Authenticator(db, pepper_of(secret_of(settings)))
        try:
            caller = await authenticator.authenticate(demo.api_key, at=SystemClock().now(), address=None)
        except (Unauthorized, Forbidden):
            return False
    return caller.account_id == demo.account_id
