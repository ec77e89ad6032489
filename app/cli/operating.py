"""What the operator does: run the processes, migrate, open accounts."""

from __future__ import annotations

import asyncio
import json
import sys
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.cost_commands import add_cost_commands
from app.cli.errors import CliError, UsageError

if TYPE_CHECKING:
    from app.kit.ids import AccountId

AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON, for scripts.")]
OPENAPI = Path("openapi/openapi.json")

admin = typer.Typer(
    help="Open accounts, make keys, credit wallets. Needs DATABASE_URL and the secret.", no_args_is_help=True
)


def add_operator_commands(app: typer.Typer) -> None:
    """Add them to the command line."""
    for command in (up, api, worker, sandbox, migrate):
        app.command()(command)
    app.command(hidden=True)(openapi)
    add_cost_commands(admin)
    app.add_typer(admin, name="admin")


def up(as_json: AsJson = False) -> None:
    """Run everything on this machine: PostgreSQL, sandbox, API, worker, and a demo account with $50."""
    from app.cli.up import up as run
    from app.settings import read_settings

    run(read_settings(), as_json=as_json)


def api() -> None:
    """Run the API. Needs DATABASE_URL and HOURGLASS_SECRET."""
    from app.cli.processes import serve_api
    from app.settings import read_settings

    serve_api(read_settings())


def worker() -> None:
    """Run a worker. Needs DATABASE_URL, HOURGLASS_SECRET and the clouds' keys."""
    from app.cli.processes import serve_worker
    from app.settings import read_settings

    serve_worker(read_settings())


def sandbox(
    host: str = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="Where the clouds answer; HOURGLASS_PORT + 1 without.")] = None,
    ssh_port: Annotated[
        int | None, typer.Option(help="SSH of machines with addresses of their own; HOURGLASS_PORT + 2 without.")
    ] = None,
    modal_port: Annotated[int | None, typer.Option(help="Where Modal answers; HOURGLASS_PORT + 4 without.")] = None,
    market: Annotated[Path | None, typer.Option(help="A folder with vast-offers.csv and lambda-types.csv.")] = None,
    stripe_webhooks: Annotated[str | None, typer.Option(metavar="URL", help="Where Stripe's events are sent.")] = None,
    stripe_pages: Annotated[str | None, typer.Option(metavar="URL", help="Where browsers find Stripe's pages.")] = None,
) -> None:
    """Run stand-ins for the clouds and for Stripe, with their real protocols and machines that take SSH."""
    from app.cli.ports import Ports
    from app.cli.processes import serve_sandbox
    from app.settings import read_settings

    settings = read_settings()
    ports = Ports.following(settings.port)
    config = {
        "ssh_port": ssh_port or ports.machines,
        "modal_port": modal_port or ports.modal,
        "market": market,
        "stripe_webhook_url": stripe_webhooks,
        "stripe_pages_url": stripe_pages,
        "stripe_settle_seconds": 5.0,
    }
    serve_sandbox(settings, host=host, port=port or ports.sandbox, config=config)


def migrate(as_json: AsJson = False) -> None:
    """Bring the database of DATABASE_URL to the newest schema and make its roles."""
    from app.cli.preparing import prepare_database
    from app.settings import read_settings

    asyncio.run(prepare_database(read_settings()))
    _say({"status": "ready"}, "The database is ready.", as_json=as_json)


def openapi(check: Annotated[bool, typer.Option(help="Only say whether the committed file is right.")] = False) -> None:
    """Write openapi/openapi.json."""
    from app.cli.describing import document

    text = document()
    if not check:
        OPENAPI.parent.mkdir(exist_ok=True)
        OPENAPI.write_text(text, encoding="utf-8")
    elif not OPENAPI.exists() or OPENAPI.read_text(encoding="utf-8") != text:
        raise CliError(f"{OPENAPI} is not what the code says. Run: make openapi")


@admin.command("open-account")
def open_account(
    name: str,
    email: str,
    credit: Annotated[str, typer.Option(help="Opening credit in dollars, such as 25 or 12.50.")] = "0",
    as_json: AsJson = False,
) -> None:
    """Open an account with its wallet, its first user and a key that may do everything in it."""
    from app.cli import accounts
    from app.settings import read_settings

    settings = read_settings()
    account_id = asyncio.run(accounts.open_account(settings, name=name, email=email, micros=_micros(credit, least=0)))
    key_id, secret = asyncio.run(accounts.make_key(settings, account_id, name="first"))
    told = {"account_id": account_id, "key_id": key_id, "api_key": secret}
    _say(told, f"Account  {account_id}\nKey      {secret}\nThe key is shown this once.", as_json=as_json)


@admin.command("make-key")
def make_key(
    account: str,
    name: str = "admin",
    scope: Annotated[list[str] | None, typer.Option(help="Repeatable; every scope without.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make an API key for an account."""
    from app.cli import accounts
    from app.settings import read_settings
    from app.web import SCOPES

    if unknown := set(scope or ()) - SCOPES:
        raise UsageError(f"No such scope: {', '.join(sorted(unknown))}. There are: {', '.join(sorted(SCOPES))}.")
    account_id = _account_id(account)
    key_id, secret = asyncio.run(accounts.make_key(read_settings(), account_id, name=name, scopes=scope or SCOPES))
    told = {"account_id": account_id, "key_id": key_id, "api_key": secret}
    _say(told, f"Key  {secret}\nIt is shown this once.", as_json=as_json)


@admin.command("invite-owner")
def invite_owner(
    account: str,
    email: Annotated[str, typer.Argument(help="Where the invitation is sent; it signs in with this address.")],
    as_json: AsJson = False,
) -> None:
    """Ask somebody by mail to own an account, such as the one that was opened for it."""
    from app.cli import accounts
    from app.settings import read_settings

    made = asyncio.run(accounts.invite_owner(read_settings(), _account_id(account), email=email))
    _say({"invitation_id": made}, f"Invitation  {made}\nIt is sent by the worker.", as_json=as_json)


@admin.command("credit")
def credit(
    account: str,
    amount: Annotated[str, typer.Argument(help="Dollars, such as 25 or 12.50.")],
    reason: Annotated[str, typer.Option(help="Why; stands in the ledger.")],
    reference: Annotated[str, typer.Option(help="Names the cause; the same reference credits once.")],
    as_json: AsJson = False,
) -> None:
    """Credit a wallet by hand."""
    from app.cli import accounts
    from app.settings import read_settings

    account_id, micros = _account_id(account), _micros(amount, least=1)
    asyncio.run(accounts.credit(read_settings(), account_id, micros=micros, reference=reference, reason=reason))
    _say({"account_id": account_id, "amount": amount, "reference": reference}, "Credited.", as_json=as_json)


@admin.command("grant")
def grant(
    account: str,
    amount: Annotated[str, typer.Argument(help="Dollars, such as 25 or 12.50.")],
    reason: Annotated[str, typer.Option(help="Why; stands in the ledger.")],
    reference: Annotated[str, typer.Option(help="Names the cause; the same reference grants once.")],
    days: Annotated[
        int | None, typer.Option(min=1, max=3650, help="Expires after so many days; never without.")
    ] = None,
    priority: Annotated[int, typer.Option(min=0, max=1000, help="Among promotions the lower is spent first.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Grant promotional credit: spent before any other, never refunded, pays no debt."""
    from app.cli import accounts
    from app.settings import read_settings

    account_id, micros = _account_id(account), _micros(amount, least=1)
    new = asyncio.run(
        accounts.grant(
            read_settings(),
            account_id,
            micros=micros,
            reference=reference,
            reason=reason,
            days=days,
            priority=priority,
        )
    )
    told = {"account_id": account_id, "amount": amount, "reference": reference}
    _say(told, "Granted." if new else "This reference was granted before; nothing was done.", as_json=as_json)


@admin.command("reconcile")
def reconcile(
    over: Annotated[
        str, typer.Argument(help="A day (2026-03-01) or a month (2026-03), in UTC; yesterday without.")
    ] = "",
    revive: Annotated[
        bool, typer.Option("--revive", help="Take up events of Stripe's again that were given up, instead.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare our books with Stripe's, both ways, and mend what can be mended. Ends with 1 when they differ."""
    from app.cli import reconciling
    from app.settings import read_settings

    if revive:
        count = asyncio.run(reconciling.revive_events(read_settings()))
        _say({"revived": str(count)}, f"{count} events are handled again.", as_json=as_json)
        return
    report = asyncio.run(reconciling.reconcile(read_settings(), over=over))
    sys.stdout.write(json.dumps(report, indent=None if as_json else 2) + "\n")
    if not report["ok"]:
        raise CliError("The books differ.")


def _account_id(text: str) -> AccountId:
    from app.kit.ids import AccountId

    try:
        return AccountId.parse(text)
    except ValueError as error:
        raise UsageError(f"{text} is no account id: it {error}.") from None


def _micros(text: str, *, least: int) -> int:
    from app.kit.money import MICROS_PER_DOLLAR

    try:
        micros = Decimal(text) * MICROS_PER_DOLLAR
    except InvalidOperation:
        micros = Decimal("NaN")
    if not micros.is_finite() or micros != int(micros) or not least <= micros <= 10**15:
        raise UsageError(f"{text} is no amount of dollars with at most six decimals.")
    return int(micros)


def _say(told: dict[str, str], text: str, *, as_json: bool) -> None:
    sys.stdout.write((json.dumps(told) if as_json else text) + "\n")
