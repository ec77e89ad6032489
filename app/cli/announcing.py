"""What ``up`` says when it serves: to people, or one line to scripts."""

from __future__ import annotations

import json
import os
import secrets
import sys
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Announcement:
    """Where it serves and how long it took. These are the keys of the JSON line."""

    url: str
    api_key: str
    sandbox_url: str | None
    ready_seconds: float


def announce(told: Announcement, *, home: Path, as_json: bool, is_real: bool) -> None:
    """Write to standard output."""
    text = json.dumps(asdict(told)) if as_json else _for_people(told, home=home, is_real=is_real)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def curl_lines(url: str, api_key: str) -> list[str]:
    """Return three lines for a shell: look at the market, rent a GPU, look at the wallet."""
    auth = f"-H 'Authorization: Bearer {api_key}'"
    key = f"-H 'Idempotency-Key: first-{secrets.token_hex(4)}'"
    body = """-H 'Content-Type: application/json' -d '{"family": "rtx-4090", "max_price_per_hour": "1.00"}'"""
    return [
        f"curl -s {auth} {url}/v1/families",
        f"curl -s {auth} {key} {body} {url}/v1/rentals",
        f"curl -s {auth} {url}/v1/wallet",
    ]


def _for_people(told: Announcement, *, home: Path, is_real: bool) -> str:
    clouds = (
        "Real clouds, since their keys are set: what is rented here costs you money."
        if is_real
        else f"Clouds    {told.sandbox_url}  (a sandbox: nothing costs real money)"
    )
    cards = (
        ""
        if is_real
        else f"Cards     {os.path.relpath(Path(sys.executable).with_name('hourglass'))} topup 25 --save-card  (4242 4242 4242 4242 pays, 4000 0000 0000 0002 is declined)\n"
    )
    lines = "\n\n".join(f"  {line}" for line in curl_lines(told.url, told.api_key))
    return f"""
Hourglass serves after {told.ready_seconds:.1f} s.

API       {told.url}  (reference: {told.url}/docs)
Sign in   {told.url}/v1/auth/github  (in a browser)
{clouds}
API key   {told.api_key}  (a demo account with $50)
{cards}Logs      {home / "log"}

See what there is, rent an RTX 4090, see what it costs:

{lines}

Ctrl-C stops everything; what is in {home} stays."""
