"""The client's commands for prices: what they were, and having the clouds asked anew."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.client import output
from app.cli.client.options import AsJson, Limit, Profile, open_api
from app.cli.errors import CliError, Exit

if TYPE_CHECKING:
    from app.cli.client.http import Json

_HOURS = (("HOUR", "hour"), ("PROVIDER", "provider"), ("REGION", "region"), ("SPOT", "spot"), ("MIN $/H", "min"),
          ("MEDIAN", "median"), ("P90", "p90"), ("LISTINGS", "listings"))  # fmt: skip
_RESULTS = (("PROVIDER", "provider"), ("STATUS", "status"), ("LISTINGS", "listings"), ("UPDATED", "last_updated"),
            ("LEFT OUT", "left_out"), ("ERROR", "error"))  # fmt: skip

prices = typer.Typer(no_args_is_help=True, help="What GPUs cost, hour by hour, and asking the clouds anew.")


@prices.command("history")
def history(
    family: Annotated[str, typer.Argument(help="Such as rtx-4090 or H100_SXM.")],
    *,
    days: Annotated[int, typer.Option(min=1, max=90, help="How many days back.")] = 1,
    provider: str | None = None,
    region: Annotated[str | None, typer.Option(help="A region's id.")] = None,
    spot: Annotated[bool | None, typer.Option("--spot/--on-demand", help="Both without.")] = None,
    daily: Annotated[bool, typer.Option("--daily", help="A line for each day instead of each hour.")] = False,
    limit: Limit = 1000,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Show a family's prices per GPU hour, without disk: the lowest, the median and the 90th percentile of each hour."""
    from app.kit.clock import SystemClock, rfc3339

    query = {
        "family": family,
        "provider": provider,
        "region": region,
        "spot": None if spot is None else str(spot).lower(),
        "interval": "day" if daily else "hour",
        "since": rfc3339(_whole_hour(SystemClock().now()) - timedelta(days=days)),
    }
    with open_api(profile) as api:
        hours = list(api.pages("/v1/catalog/price-history", query, limit=limit))
    output.show_list(hours, _HOURS, "Nothing is known of these hours.", as_json=as_json)


@prices.command("refresh")
def refresh(
    provider: Annotated[list[str] | None, typer.Option(help="Repeatable; every provider without.")] = None,
    wait: Annotated[int, typer.Option(min=0, max=10, help="How many seconds to wait for their answers.")] = 10,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Have the clouds asked for their offers now, and show what became of it. Ends with 8 where a cloud failed."""
    body: Json = {"wait_seconds": wait, **({"providers": provider} if provider else {})}
    with open_api(profile) as api:
        told = api.post("/v1/catalog/refresh", body)
    if as_json:
        output.write_json(told)
    else:
        output.show_list(told["results"], _RESULTS, "There are no providers.", as_json=False)
    if failed := [result["provider"] for result in told["results"] if result["status"] == "failed"]:
        raise CliError(f"No answer from {', '.join(failed)}.", exit_code=Exit.PROVIDER)


def _whole_hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)
