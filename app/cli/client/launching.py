"""Launching a rental from the command line: the cost, the question, and the way to a running machine stage by stage."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from typing import Any

import typer

from app.cli.client.asking import Market
from app.cli.client.http import Api, Json
from app.cli.client.options import agree
from app.cli.client.output import at, text_of, write_facts, write_line
from app.cli.errors import CliError, Exit, UsageError

_POLL_SECONDS = 0.5
_WAIT_SECONDS_MAX = 20 * 60
_ON_ITS_WAY = {"queued", "provisioning"}
_BY_REASON = {
    "no_capacity": Exit.CAPACITY,
    "no_matching_listings": Exit.CAPACITY,
    "price_changed": Exit.CAPACITY,
    "interrupted_no_capacity": Exit.CAPACITY,
    "insufficient_balance": Exit.FUNDS,
    "internal": Exit.FAILED,
    "startup_failed": Exit.FAILED,
    "image_error": Exit.USAGE,
}

QUOTE_FACTS = (
    ("Quote", "id"),
    ("GPU", "model"),
    ("GPUs", "gpu_count"),
    ("Provider", "provider"),
    ("Region", "region.name"),
    ("Spot", "spot"),
    ("Disk GB", "disk_gb"),
    ("$ per hour", "rate.per_hour"),
    ("made of", "rate.components"),
    ("$ held", "hold"),
    ("Valid until", "expires_at"),
)


def quote_and_confirm(api: Api, market: Market, *, yes: bool, as_json: bool) -> Json:
    """Return a quote that somebody agreed to.

    Raises:
        CliError: nothing fits, or they said no.
    """
    told = api.post("/v1/quotes", market.body())
    if yes:
        return told
    if as_json or not sys.stdin.isatty():
        raise UsageError("This spends money and nobody can be asked here. Say --yes.")
    write_facts(told, QUOTE_FACTS)
    write_line("Billing starts when the GPU has passed its check; an hour is held, what is left comes back.")
    if not typer.confirm("Rent it?"):
        raise CliError("Nothing was rented.", exit_code=Exit.OK)
    return told


def wish_to_wait(api: Api, market: Market, *, wait_seconds: int | None, yes: bool, as_json: bool) -> Json:
    """Return what is to be rented: a quote that somebody agreed to, or where nothing fits now, the wish to wait for it.

    Raises:
        CliError: nothing fits and nobody waits, or they said no.
        UsageError: somebody waits without a ceiling.
    """
    if wait_seconds is not None and market.max_price_per_hour is None:
        raise UsageError("--wait takes --max-price beside it: an hour at that price is held while it waits.")
    try:
        return {"quote_id": quote_and_confirm(api, market, yes=yes, as_json=as_json)["id"]}
    except CliError as error:
        if wait_seconds is None or error.problem.get("code") != "no_matching_listings":
            raise
    held = f"Nothing fits now. It waits, and an hour at ${market.max_price_per_hour} is held meanwhile."
    if not yes:
        agree(held, as_json=as_json, otherwise="Nothing was rented.")
    return market.body() | {"wait_seconds": wait_seconds}


def follow(api: Api, rental: Json, *, quiet: bool, wait_seconds: int = 0) -> Json:
    """Return the rental once it runs, showing the stages it passes.

    Raises:
        CliError: it failed, was stopped, or takes longer than twenty minutes, beside ``wait_seconds`` in the queue.
    """
    deadline = time.monotonic() + _WAIT_SECONDS_MAX + wait_seconds
    with ExitStack() as stack:
        show = _Stages(stack, quiet=quiet)
        while rental["status"] in _ON_ITS_WAY:
            show(rental)
            if time.monotonic() > deadline:
                raise CliError(f"{rental['id']} is still on its way. Look again with: hourglass show {rental['id']}")
            time.sleep(_POLL_SECONDS)
            rental = api.get(f"/v1/rentals/{rental['id']}")
    if rental["status"] != "running":
        raise _failure(rental)
    return rental


class _Stages:
    """Shows each stage as it begins: a spinner on a terminal, a line elsewhere."""

    def __init__(self, stack: ExitStack, *, quiet: bool) -> None:
        self._last = ""
        self._quiet = quiet
        self._began = time.monotonic()
        self._progress: Any = None
        self._task: Any = None
        if not quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

            columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
            self._progress = stack.enter_context(Progress(*columns, console=Console(stderr=True)))

    def __call__(self, rental: Json) -> None:
        """Show where a rental is."""
        stage = _stage(rental)
        if self._quiet or stage == self._last:
            return
        self._last = stage
        if self._progress is None:
            sys.stderr.write(f"{time.monotonic() - self._began:6.1f} s  {stage}\n")
            return
        if self._task is not None:
            self._progress.stop_task(self._task)
        self._task = self._progress.add_task(stage, total=None)


def _stage(rental: Json) -> str:
    parts = [text_of(rental["status"]), text_of(rental.get("stage"))]
    tries = len(rental.get("attempts") or [])
    more = f" (try {tries})" if tries > 1 else ""
    return ": ".join(part for part in parts if part) + more


def _failure(rental: Json) -> CliError:
    failure = rental.get("failure") or {}
    reason = str(failure.get("reason") or rental.get("end_reason") or rental["status"])
    words = text_of(failure.get("message") or rental.get("status_reason") or reason)
    code = _BY_REASON.get(reason, Exit.PROVIDER if failure else Exit.FAILED)
    charged = at(rental, "cost.charged")
    return CliError(
        f"{rental['id']} {rental['status']}: {words}" + (f" (charged {charged})" if charged is not None else ""),
        exit_code=code,
        problem={"code": reason, "detail": words, "rental": rental},
    )
