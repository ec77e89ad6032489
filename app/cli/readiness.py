"""Waiting until a deployment serves: the API answers, and the catalog has something to rent if that takes no time."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from app.cli.errors import UpError

_SERVES_SECONDS_MAX = 60.0
_CATALOG_SECONDS_MAX = 10.0
_TRIED_FAMILY = "rtx-4090"
"""What the first lines to try rent."""
_POLL_SECONDS = 0.05  # each look is work for the API, which has enough to do


def wait_until_it_serves(url: str, api_key: str, *, look: Callable[[], None], stopped: Callable[[], bool]) -> None:
    """Return when the API is ready and lists what the first lines to try rent; the latter is waited for ten seconds at most.

    ``look`` is called between tries and may raise.

    Raises:
        UpError: it does not serve within a minute.
    """
    deadline = time.monotonic() + _SERVES_SECONDS_MAX
    while not stopped() and ask(url, "/readyz") is None:
        if time.monotonic() > deadline:
            raise UpError("The API does not serve after a minute. Look at the logs, or make the machine less busy.")
        look()
        time.sleep(_POLL_SECONDS)
    deadline = time.monotonic() + _CATALOG_SECONDS_MAX
    while not stopped() and time.monotonic() < deadline:
        listed = ask(url, f"/v1/listings?family={_TRIED_FAMILY}&limit=1", api_key=api_key)
        if listed is None or listed.get("data"):
            return
        look()
        time.sleep(_POLL_SECONDS)


def ask(url: str, path: str, *, api_key: str | None = None) -> dict[str, object] | None:
    """Return the JSON object that a GET answers with 200; None for anything else, or no answer within 2 seconds."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=2)
    try:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        told = json.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError):
        return None
    else:
        return told if answer.status == http.HTTPStatus.OK and isinstance(told, dict) else None
    finally:
        connection.close()
