"""The client's commands for webhooks: made, tried, looked after, given another secret."""

from __future__ import annotations

from typing import Annotated

import typer

from app.cli.client import output
from app.cli.client.asking import seconds_of
from app.cli.client.naming import known_path
from app.cli.client.options import AsJson, Limit, Profile, Yes, agree, open_api

_WEBHOOKS = (("ID", "id"), ("URL", "url"), ("EVENTS", "types"), ("ENABLED", "enabled"), ("BECAUSE", "disabled_because"),
             ("FAILING SINCE", "failing_since"))  # fmt: skip
_WEBHOOK = (("Id", "id"), ("URL", "url"), ("Secret", "secret"), ("About", "description"), ("Events", "types"),
            ("Enabled", "enabled"), ("Because", "disabled_because"), ("Failing since", "failing_since"),
            ("Old secret until", "previous_secret_until"), ("Made by", "created_by"), ("Created", "created_at"))  # fmt: skip
_DELIVERIES = (("ID", "id"), ("EVENT", "type"), ("STATE", "state"), ("TRIES", "tries"), ("CREATED", "created_at"),
               ("NEXT TRY", "next_at"), ("STATUS", "last_status"), ("ERROR", "last_error"))  # fmt: skip
_DELIVERY = tuple((title.capitalize(), path) for title, path in _DELIVERIES)
WebhookArg = Annotated[str, typer.Argument(metavar="WEBHOOK", help="Its id, whk_…")]
DeliveryArg = Annotated[str, typer.Argument(metavar="DELIVERY", help="Its id, dlv_…")]

webhooks = typer.Typer(no_args_is_help=True, help="Where events are sent to, signed; and what became of them.")


@webhooks.command("list")
def list_webhooks(limit: Limit = 50, profile: Profile = None, as_json: AsJson = False) -> None:
    """Show the account's webhooks, newest first."""
    with open_api(profile) as api:
        rows = list(api.pages("/v1/webhooks", limit=limit))
    output.show_list(rows, _WEBHOOKS, "There are no webhooks.", as_json=as_json)


@webhooks.command("add")
def add(
    url: Annotated[str, typer.Argument(help="By https, such as https://hooks.example.com/hourglass.")],
    *,
    event: Annotated[
        list[str] | None,
        typer.Option(help="Such as rental.stopped, or rental.* for all; repeatable. Every event without."),
    ] = None,
    about: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Have events sent to a URL from now on. The secret that signs them is shown this once."""
    terms = {"url": url, "types": event or []} | ({"description": about} if about else {})
    with open_api(profile) as api:
        output.show(api.post("/v1/webhooks", terms), _WEBHOOK, as_json=as_json)


@webhooks.command("test")
def try_out(webhook: WebhookArg, profile: Profile = None, as_json: AsJson = False) -> None:
    """Send a message there once, to try it. What came of it stands among the deliveries."""
    path = _path(webhook)
    with open_api(profile) as api:
        output.show(api.post(f"{path}/test"), _DELIVERY, as_json=as_json)


@webhooks.command("deliveries")
def deliveries(webhook: WebhookArg, limit: Limit = 20, profile: Profile = None, as_json: AsJson = False) -> None:
    """Show what was sent there, or is about to be, newest first."""
    path = _path(webhook)
    with open_api(profile) as api:
        rows = list(api.pages(f"{path}/deliveries", limit=limit))
    output.show_list(rows, _DELIVERIES, "Nothing was sent yet.", as_json=as_json)


@webhooks.command("redeliver")
def redeliver(webhook: WebhookArg, delivery: DeliveryArg, profile: Profile = None, as_json: AsJson = False) -> None:
    """Send once more what was sent, or given up."""
    path = known_path(f"{_path(webhook).removeprefix('/v1/')}/deliveries", delivery, "dlv")
    with open_api(profile) as api:
        output.show(api.post(f"{path}/redeliver"), _DELIVERY, as_json=as_json)


@webhooks.command("rotate")
def rotate(
    webhook: WebhookArg,
    *,
    overlap: Annotated[
        str, typer.Option(help="How long the old secret signs beside the new one, such as 0s or 2d.")
    ] = "1d",
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Give a webhook another secret. It is shown this once."""
    path = _path(webhook)
    with open_api(profile) as api:
        made = api.post(f"{path}/rotate-secret", {"overlap_seconds": seconds_of(overlap)})
    output.show(made, _WEBHOOK, as_json=as_json)


@webhooks.command("enable")
def enable(webhook: WebhookArg, profile: Profile = None, as_json: AsJson = False) -> None:
    """Send what happens from now on, also after it was disabled for failing."""
    path = _path(webhook)
    with open_api(profile) as api:
        output.show(api.patch(path, {"enabled": True}), _WEBHOOK, as_json=as_json)


@webhooks.command("disable")
def disable(webhook: WebhookArg, profile: Profile = None, as_json: AsJson = False) -> None:
    """Send nothing there any more until it is enabled again; what waited is given up."""
    path = _path(webhook)
    with open_api(profile) as api:
        output.show(api.patch(path, {"enabled": False}), _WEBHOOK, as_json=as_json)


@webhooks.command("remove")
def remove(webhook: WebhookArg, yes: Yes = False, profile: Profile = None, as_json: AsJson = False) -> None:
    """Remove a webhook for good, with what waited for it."""
    path = _path(webhook)
    if not yes:
        agree(f"{webhook} is removed for good.", as_json=as_json, otherwise="It stays.")
    with open_api(profile) as api:
        api.delete(path)
    output.show({"id": webhook, "removed": True}, (("Removed", "id"),), as_json=as_json)


def _path(webhook: str) -> str:
    return known_path("webhooks", webhook, "whk")
