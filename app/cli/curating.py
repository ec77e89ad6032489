"""The operator's commands for the catalog, beside those for accounts and books."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from app.cli.client import output
from app.cli.client.options import AsJson
from app.cli.errors import UsageError

_HOSTS = (("PROVIDER", "provider"), ("HOST", "host_id"), ("WHY", "reason"), ("SINCE", "quarantined_at"),
          ("UNTIL", "until"), ("LISTINGS", "listings"))  # fmt: skip

Provider = Annotated[str, typer.Argument(help="Such as vast.")]
Host = Annotated[str, typer.Argument(metavar="HOST", help="The physical host, as its cloud names it.")]

quarantine = typer.Typer(no_args_is_help=True, help="Hosts of which nothing is offered.")


def add_catalog_commands(admin: typer.Typer) -> None:
    """Add them to the operator's commands."""
    admin.command("load-prices")(load_prices)
    admin.add_typer(quarantine, name="quarantine")


def load_prices(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="CSV of daily medians per GPU hour.")],
    as_json: AsJson = False,
) -> None:
    """Load daily median prices into the history: columns date, provider, gpu, rental_type, usd_per_gpu_hour."""
    from app.cli import catalog
    from app.settings import read_settings

    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{file} is no text in UTF-8.") from None
    loaded = asyncio.run(catalog.load_prices(read_settings(), text))
    told = {"points": loaded.points, "lines": loaded.lines, "left_out": dict(loaded.left_out)}
    output.show(told, (("Points", "points"), ("Lines", "lines"), ("Left out", "left_out")), as_json=as_json)


@quarantine.command("list")
def list_hosts(as_json: AsJson = False) -> None:
    """Show the hosts that are kept back, the newest first."""
    from app.cli import catalog
    from app.kit.clock import rfc3339
    from app.settings import read_settings

    rows = [
        {
            "provider": host.provider,
            "host_id": host.host_id,
            "reason": host.reason,
            "quarantined_at": rfc3339(host.quarantined_at),
            "until": None if host.until is None else rfc3339(host.until),
            "listings": host.listings,
        }
        for host in asyncio.run(catalog.list_quarantined(read_settings()))
    ]
    output.show_list(rows, _HOSTS, "No host is in quarantine.", as_json=as_json)


@quarantine.command("add")
def add(
    provider: Provider,
    host: Host,
    reason: Annotated[str, typer.Option(help="Why; shown in the list.")],
    days: Annotated[
        int | None, typer.Option(min=1, max=3650, help="For so long; until it is released without.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Offer nothing on a host. Machines that run there are left alone."""
    from app.cli import catalog
    from app.settings import read_settings

    asyncio.run(catalog.quarantine(read_settings(), provider, host, reason=reason, days=days))
    _say({"provider": provider, "host_id": host, "status": "quarantined"}, "Nothing on it is offered.", as_json=as_json)


@quarantine.command("release")
def release(provider: Provider, host: Host, as_json: AsJson = False) -> None:
    """Offer what a host has again."""
    from app.cli import catalog
    from app.settings import read_settings

    asyncio.run(catalog.release(read_settings(), provider, host))
    _say({"provider": provider, "host_id": host, "status": "released"}, "It is offered again.", as_json=as_json)


def _say(told: dict[str, str], text: str, *, as_json: bool) -> None:
    if as_json:
        output.write_json(told)
    else:
        sys.stdout.write(f"{text}\n")
