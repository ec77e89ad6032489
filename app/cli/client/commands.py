"""The client's commands."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.client import asking, output
from app.cli.client.asking import (
    DiskGb,
    Family,
    GpuCount,
    Launch,
    Market,
    MaxPrice,
    MinVram,
    Providers,
    Regions,
    Spot,
    Template,
)
from app.cli.client.naming import team_id_of
from app.cli.client.options import AsJson, Limit, Profile, Yes, agree, open_api
from app.cli.errors import CliError, UsageError

if TYPE_CHECKING:
    from app.cli.client.http import Api

Team = Annotated[str | None, typer.Option(help="For a team, by its name or id: its policy applies.")]
RentalArg = Annotated[str, typer.Argument(metavar="RENTAL", help="Its id, rent_…")]

_FOLLOW_SECONDS = 2.0
_LIVE = ["queued", "provisioning", "running", "interrupted", "hibernating", "hibernated", "stopping"]
_FAMILIES = (("FAMILY", "id"), ("GPU", "title"), ("VRAM GB", "vram_gb"), ("FROM $/H", "from_price_per_gpu_hour"),
             ("LISTINGS", "listings"))  # fmt: skip
_OFFERS = (("OFFER", "display"), ("$/H", "price_per_hour"), ("SPOT", "spot"), ("RELIABILITY", "reliability"),
           ("ID", "id"))  # fmt: skip
_RENTALS = (("RENTAL", "id"), ("NAME", "name"), ("STATUS", "status"), ("STAGE", "stage"), ("FAMILY", "family"),
            ("GPUS", "gpu_count"), ("$/H", "rate.per_hour"), ("CHARGED", "cost.charged"),
            ("SSH", "ssh.command"))  # fmt: skip
_RENTAL = (("Rental", "id"), ("Name", "name"), ("Status", "status"), ("Stage", "stage"), ("Why", "status_reason"),
           ("Team", "team_id"), ("Family", "family"), ("GPUs", "gpu_count"), ("Region", "region.name"), ("Provider", "provider"),
           ("Per hour", "rate.per_hour"), ("Asleep per hour", "rate.stopped_per_hour"), ("Reserve", "reserve"), ("Cost", "cost"), ("SSH", "ssh.command"),
           ("Endpoints", "endpoints"), ("Failure", "failure"), ("Ended by", "end_reason"), ("Created", "created_at"),
           ("Waits until", "queued_until"), ("Running since", "running_at"), ("Asleep since", "hibernated_at"),
           ("Disk lost", "disk_lost"), ("Ended", "ended_at"))  # fmt: skip


def add_client_commands(app: typer.Typer) -> None:
    """Add them to the command line."""
    for command in (login, families, offers, quote, launch, ps, show, ssh, logs, stop, hibernate, resume):
        app.command()(command)


def login(
    url: Annotated[str, typer.Option(prompt="URL of the API", help="Such as https://api.example.com")],
    api_key: Annotated[str, typer.Option(prompt="API key", hide_input=True, envvar="HOURGLASS_API_KEY")],
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Keep a URL and an API key as a profile, having tried them."""
    from app.cli.client.http import Api
    from app.cli.client.profiles import DEFAULT, Access, keep_profile

    with Api(Access(url.rstrip("/"), api_key)) as api:
        account = api.get("/v1/account")
    path = keep_profile(profile or DEFAULT, Access(url, api_key))
    told = {"profile": profile or DEFAULT, "account_id": account.get("id"), "path": str(path)}
    output.show(told, (("Profile", "profile"), ("Account", "account_id"), ("Kept in", "path")), as_json=as_json)


def families(profile: Profile = None, as_json: AsJson = False) -> None:
    """Show the GPU families and their lowest prices."""
    with open_api(profile) as api:
        output.show_list(api.get("/v1/families")["data"], _FAMILIES, "The catalog is empty.", as_json=as_json)


def offers(
    family: Family = None,
    *,
    min_vram_gb: MinVram = None,
    gpu_count: Annotated[int | None, typer.Option(min=1, help="GPUs in one machine.")] = None,
    region: Regions = None,
    provider: Providers = None,
    spot: Spot = None,
    max_price: MaxPrice = None,
    limit: Limit = 20,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Show what can be rented, cheapest first."""
    query = {
        "family": family,
        "min_vram_gb": min_vram_gb,
        "gpu_count": gpu_count,
        "region": region,
        "provider": provider,
        "spot": spot,
        "max_price": max_price,
    }
    with open_api(profile) as api:
        output.show_list(
            list(api.pages("/v1/listings", query, limit=limit)), _OFFERS, "Nothing matches.", as_json=as_json
        )


def quote(
    family: Family = None,
    *,
    min_vram_gb: MinVram = None,
    gpu_count: GpuCount = 1,
    region: Regions = None,
    provider: Providers = None,
    spot: Spot = None,
    max_price: MaxPrice = None,
    disk_gb: DiskGb = None,
    template: Template = None,
    team: Team = None,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Lock a listing and its price for a minute and show what it is made of."""
    from app.cli.client.launching import QUOTE_FACTS

    market = Market(family, min_vram_gb, gpu_count, region, provider, spot, max_price, disk_gb, template)
    with open_api(profile) as api:
        wish = replace(market, **_of_team(api, team)).body()
        output.show(api.post("/v1/quotes", wish), QUOTE_FACTS, as_json=as_json)


def launch(
    family: Family = None,
    *,
    min_vram_gb: MinVram = None,
    gpu_count: GpuCount = 1,
    region: Regions = None,
    provider: Providers = None,
    spot: Spot = None,
    max_price: MaxPrice = None,
    disk_gb: DiskGb = None,
    template: Template = None,
    team: Team = None,
    name: str | None = None,
    image: str | None = None,
    startup_script: Annotated[Path | None, typer.Option(help="A file, run when the machine is there.")] = None,
    ssh_key: Annotated[
        list[Path] | None, typer.Option(help="Public key file; repeatable. Your default key without.")
    ] = None,
    timeout: Annotated[str | None, typer.Option(help="Stop it after so long, such as 2h.")] = None,
    wait: Annotated[str | None, typer.Option(help="Where nothing fits now: wait so long for it, such as 6h.")] = None,
    max_spend: Annotated[str | None, typer.Option(help="Stop it when it has cost so many dollars.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Don't wait until it runs.")] = False,
    yes: Yes = False,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Rent a GPU: shows the cost, asks, then follows it stage by stage until it runs."""
    from app.cli.client.launching import follow, wish_to_wait

    market = Market(family, min_vram_gb, gpu_count, region, provider, spot, max_price, disk_gb, template)
    script, keys = asking.read_script(startup_script), asking.read_public_keys(ssh_key)
    seconds, patience = asking.seconds_of(timeout), asking.seconds_of(wait)
    wanted = Launch(name, template, image, script, seconds, max_spend, keys).body()
    with open_api(profile) as api:
        of_team = _of_team(api, team)
        wish = wish_to_wait(api, replace(market, **of_team), wait_seconds=patience, yes=yes, as_json=as_json)
        rental = api.post("/v1/rentals", {**wish, **wanted, **of_team})
        if not detach:
            rental = follow(api, rental, quiet=as_json, wait_seconds=patience or 0)
    output.show(rental, _RENTAL, as_json=as_json)


def ps(
    everything: Annotated[bool, typer.Option("--all", "-a", help="Ended ones too.")] = False,
    team: Annotated[str | None, typer.Option(help="Of one team, by its name or id.")] = None,
    limit: Limit = 50,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Show rentals, newest first."""
    with open_api(profile) as api:
        query = {"status": None if everything else _LIVE, **_of_team(api, team)}
        output.show_list(list(api.pages("/v1/rentals", query, limit=limit)), _RENTALS, "Nothing runs.", as_json=as_json)


def show(rental: RentalArg, profile: Profile = None, as_json: AsJson = False) -> None:
    """Show one rental."""
    with open_api(profile) as api:
        output.show(api.get(_path(rental)), _RENTAL, as_json=as_json)


def ssh(
    rental: RentalArg,
    command: Annotated[list[str] | None, typer.Argument(help="Run this instead of a shell.")] = None,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Log in to a rental's machine."""
    with open_api(profile) as api:
        told = api.get(_path(rental))
    where = told.get("ssh") or {}
    if not where.get("host"):
        raise CliError(f"{told['id']} is {told['status']}: it has no machine to log in to.")
    if as_json:
        output.write_json(where)
        return
    target = ["ssh", "-p", str(where["port"]), "-l", str(where["user"]), "--", str(where["host"]), *(command or [])]
    try:
        os.execvp("ssh", target)  # noqa: S606, S607 - the user's own ssh, without a shell
    except FileNotFoundError:
        raise CliError("There is no ssh program here. Install OpenSSH's client.") from None


def logs(
    rental: RentalArg,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it ends.")] = False,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Show what a rental's startup script wrote."""
    with open_api(profile) as api:
        offset = 0
        while True:
            told = api.get(f"{_path(rental)}/logs", {"offset": offset})
            if as_json:
                output.write_json(told)
            else:
                sys.stdout.write("".join(piece["text"] for piece in told["data"]))
                sys.stdout.flush()
            offset = told["next_offset"]
            if told["complete"] or (not follow and not told["data"]):
                return
            if not told["data"]:
                time.sleep(_FOLLOW_SECONDS)


def stop(rental: RentalArg, yes: Yes = False, profile: Profile = None, as_json: AsJson = False) -> None:
    """Stop a rental. Billing ends at once; what is on its machine is lost."""
    if not yes:
        agree(f"{rental} is stopped, and what is on its machine is lost.", as_json=as_json, otherwise="It runs on.")
    with open_api(profile) as api:
        output.show(api.post(f"{_path(rental)}/stop"), _RENTAL, as_json=as_json)


def hibernate(rental: RentalArg, profile: Profile = None, as_json: AsJson = False) -> None:
    """Turn a rental's machine off and keep its disk: only that is billed then. What is in memory is lost."""
    with open_api(profile) as api:
        output.show(api.post(f"{_path(rental)}/hibernate"), _RENTAL, as_json=as_json)


def resume(
    rental: RentalArg,
    detach: Annotated[bool, typer.Option("--detach", help="Don't wait until it runs.")] = False,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Run a hibernated rental again, then follow it until it does."""
    from app.cli.client.launching import follow

    with open_api(profile) as api:
        told = api.post(f"{_path(rental)}/resume")
        if not detach:
            told = follow(api, told, quiet=as_json)
    output.show(told, _RENTAL, as_json=as_json)


def _of_team(api: Api, team: str | None) -> dict[str, Any]:
    return {} if team is None else {"team_id": team_id_of(api, team)}


def _path(rental: str) -> str:
    """Return a rental's path; what is no id never reaches the URL."""
    if not rental.isascii() or not rental.replace("_", "").isalnum():
        raise UsageError(f"{rental!r} is no rental's id. They begin with rent_; see them with: hourglass ps --all")
    return f"/v1/rentals/{rental}"
