"""The client's commands for money: the wallet, its ledger, paying in by card, and topping up by itself."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.client import output
from app.cli.client.options import AsJson, Limit, Profile, Yes, agree, open_api
from app.cli.errors import CliError, Exit, UsageError

if TYPE_CHECKING:
    from app.cli.client.http import Api

Amount = Annotated[str, typer.Argument(metavar="DOLLARS", help="Such as 25 or 12.50; 1 to 5000.")]

_LOOK_SECONDS = 1.0
_WAIT_SECONDS = 900
_OVER = {"complete", "expired", "failed"}
_TERMS = "2026-11"
_WALLET = (("Available", "available"), ("Reserved", "reserved"), ("Total", "total"), ("Owed", "owed"),
           ("Burn per hour", "burn_per_hour"), ("Runway seconds", "runway_seconds"))  # fmt: skip
_LEDGER = (("SEQ", "seq"), ("AT", "effective_at"), ("KIND", "kind"), ("AMOUNT", "amount"), ("AVAILABLE", "available_after"),
           ("RESERVED", "reserved_after"), ("RENTAL", "rental_id"), ("WHAT", "description"))  # fmt: skip

_RULE_PATH = "/v1/wallet/auto-topup"
_RULE = (("State", "state"), ("Why", "state_reason"), ("Until", "until"), ("Threshold", "threshold"), ("Amount", "amount"),
         ("Target", "target"), ("Monthly cap", "monthly_cap"), ("This month", "month_total"), ("Under way", "incoming"),
         ("Only while running", "only_while_running"), ("Card", "payment_method_id"))  # fmt: skip
_ATTEMPTS = (("ATTEMPT", "id"), ("AT", "created_at"), ("AMOUNT", "amount"), ("STATE", "state"), ("WHY", "trigger"),
             ("DECLINED", "decline_code"), ("PAYMENT", "payment_id"))  # fmt: skip

auto_topup = typer.Typer(no_args_is_help=True, help="Have a saved card pay in when little is left.")


def add_money_commands(app: typer.Typer) -> None:
    """Add them to the command line."""
    for command in (balance, ledger, topup):
        app.command()(command)
    app.add_typer(auto_topup, name="auto-topup")


def balance(profile: Profile = None, as_json: AsJson = False) -> None:
    """Show the wallet, live to the second."""
    with open_api(profile) as api:
        output.show(api.get("/v1/wallet"), _WALLET, as_json=as_json)


def ledger(
    rental: Annotated[str | None, typer.Option(help="Only this rental's.")] = None,
    kind: str | None = None,
    limit: Limit = 20,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Show the movements of money, newest first."""
    query = {"rental_id": rental, "kind": kind}
    with open_api(profile) as api:
        rows = list(api.pages("/v1/billing/ledger", query, limit=limit))
        output.show_list(rows, _LEDGER, "Nothing has moved.", as_json=as_json)


def topup(
    amount: Amount,
    *,
    save_card: Annotated[bool, typer.Option("--save-card", help="Keep the card, for topping up by itself.")] = False,
    wait: Annotated[bool, typer.Option(help="Wait until it is paid, for a quarter of an hour at most.")] = True,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Pay in by card: prints the address of a page for the browser and waits for the payment."""
    with open_api(profile) as api:
        session = api.post("/v1/billing/checkout-sessions", {"amount": amount, "save_card": save_card})
        if as_json:
            output.write_json(_paid(api, session) if wait else session)
            return
        output.write_line(f"Pay in your browser:\n\n  {session['url']}\n")
        if wait:
            _paid(api, session)
            output.show(api.get("/v1/wallet"), _WALLET, as_json=False)


def _paid(api: Api, session: dict[str, Any]) -> dict[str, Any]:
    """Wait until a visit to the page is over, and return how it ended."""
    until = time.monotonic() + _WAIT_SECONDS
    while session["status"] not in _OVER:
        if time.monotonic() > until:
            raise CliError(
                f"Nothing was paid yet. The page stays open until {session['expires_at']}.", exit_code=Exit.FUNDS
            )
        time.sleep(_LOOK_SECONDS)
        session = api.get(f"/v1/billing/checkout-sessions/{session['id']}")
    if session["status"] != "complete":
        raise CliError(f"The payment ended as {session['status']}. Nothing was charged.", exit_code=Exit.FUNDS)
    return session


@auto_topup.command("show")
def show_rule(profile: Profile = None, as_json: AsJson = False) -> None:
    """Show the rule and where it stands."""
    with open_api(profile) as api:
        output.show(api.get(_RULE_PATH), _RULE, as_json=as_json)


@auto_topup.command("set")
def set_rule(
    *,
    threshold: Annotated[
        str, typer.Option(metavar="DOLLARS", help="Charge when less than this is available; 5 at least.")
    ],
    monthly_cap: Annotated[str, typer.Option(metavar="DOLLARS", help="Never charge more in a month.")],
    amount: Annotated[str | None, typer.Option(metavar="DOLLARS", help="Charge this much each time.")] = None,
    target: Annotated[str | None, typer.Option(metavar="DOLLARS", help="Or: fill the wallet up to this.")] = None,
    always: Annotated[bool, typer.Option("--always", help="Also while nothing runs.")] = False,
    card: Annotated[str | None, typer.Option(help="A saved card's id; the one saved last without.")] = None,
    yes: Yes = False,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Have a saved card charged by itself from now on."""
    if (amount is None) == (target is None):
        raise UsageError("Say either --amount or --target.")
    terms = {
        "mode": "fixed" if target is None else "target",
        "threshold": threshold,
        "monthly_cap": monthly_cap,
        "amount": amount,
        "target": target,
        "only_while_running": not always,
        "payment_method_id": card,
    }
    body = {name: value for name, value in terms.items() if value is not None}
    if not yes:
        question = (
            f"Your card will be charged whenever less than ${threshold} is available, up to ${monthly_cap} a month."
        )
        agree(question, as_json=as_json, otherwise="Nothing was changed.")
    consent = {"text_version": _TERMS, "accepted": True}
    with open_api(profile) as api:
        output.show(api.put(_RULE_PATH, body | {"consent": consent}), _RULE, as_json=as_json)


@auto_topup.command("off")
def turn_off(profile: Profile = None, as_json: AsJson = False) -> None:
    """Charge no card any more."""
    with open_api(profile) as api:
        api.delete(_RULE_PATH)
        output.show(api.get(_RULE_PATH), _RULE, as_json=as_json)


@auto_topup.command("resume")
def resume(profile: Profile = None, as_json: AsJson = False) -> None:
    """Let a suspended rule try its card once more."""
    with open_api(profile) as api:
        output.show(api.post(f"{_RULE_PATH}/resume"), _RULE, as_json=as_json)


@auto_topup.command("attempts")
def attempts(limit: Limit = 20, profile: Profile = None, as_json: AsJson = False) -> None:
    """Show what the card was asked for, newest first."""
    with open_api(profile) as api:
        rows = list(api.pages(f"{_RULE_PATH}/attempts", {}, limit=limit))
        output.show_list(rows, _ATTEMPTS, "No card was charged yet.", as_json=as_json)
