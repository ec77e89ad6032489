"""Clouds: an adapter for each one whose settings are given, and how patient to be with it."""

from __future__ import annotations

import ipaddress
from importlib.util import find_spec
from urllib.parse import urlsplit

from prometheus_client import Counter, Histogram

from app.providers import (
    HyperstackProvider,
    LambdaProvider,
    ManualProvider,
    ModalProvider,
    Provider,
    RunpodProvider,
    VastProvider,
    WireOptions,
)
from app.rentals.tools import Limits
from app.settings import Settings, SettingsError

_PROVIDER_CALLS = Counter(
    "hourglass_provider_calls",
    "HTTP calls to clouds and to Stripe by operation and outcome",
    ["provider", "operation", "outcome"],
)
_PROVIDER_SECONDS = Histogram("hourglass_provider_call_seconds", "How long they took", ["provider", "operation"])


def providers(settings: Settings, *, deployment: str) -> dict[str, Provider]:
    """Return an adapter for each cloud whose key is set. ``deployment`` keeps ours apart where a cloud has workspaces.

    Raises:
        SettingsError: half a cloud's settings are there, or its package is not.
    """
    made = {
        "vast": _vast(settings),
        "lambda": _lambda(settings),
        "runpod": _runpod(settings),
        "hyperstack": _hyperstack(settings),
        "modal": _modal(settings, deployment=deployment),
        "manual": _desk(settings),
    }
    return {name: provider for name, provider in made.items() if provider is not None}


def limits(settings: Settings) -> dict[str, Limits]:
    """A cloud on this machine answers at once: what it did not do in seconds it never will."""
    urls = {
        "vast": settings.vast_url,
        "lambda": settings.lambda_url,
        "runpod": settings.runpod_url,
        "hyperstack": settings.hyperstack_url,
        "modal": settings.modal_url,
        "manual": settings.desk_url or "",
    }
    local = Limits(create_seconds=10, poll_seconds=0.5, unfound_seconds=60)
    return {name: local for name, url in urls.items() if _is_local(url)}


def count_call(provider: str, operation: str, outcome: str, seconds: float) -> None:
    """Count an HTTP call for ``/metrics``."""
    _PROVIDER_CALLS.labels(provider, operation, outcome).inc()
    _PROVIDER_SECONDS.labels(provider, operation).observe(seconds)


def _vast(settings: Settings) -> Provider | None:
    if (key := settings.vast_api_key) is None:
        return None
    url = settings.vast_url
    return VastProvider(api_key=key.get_secret_value(), base_url=url, options=_options(url))


def _lambda(settings: Settings) -> Provider | None:
    if (key := settings.lambda_api_key) is None:
        return None
    url, port = settings.lambda_url, settings.lambda_ssh_port
    return LambdaProvider(api_key=key.get_secret_value(), base_url=url, options=_options(url), ssh_port=port)


def _runpod(settings: Settings) -> Provider | None:
    if (key := settings.runpod_api_key) is None:
        return None
    url = settings.runpod_url
    return RunpodProvider(api_key=key.get_secret_value(), base_url=url, options=_options(url))


def _hyperstack(settings: Settings) -> Provider | None:
    if (key := settings.hyperstack_api_key) is None:
        return None
    url, port = settings.hyperstack_url, settings.hyperstack_ssh_port
    return HyperstackProvider(api_key=key.get_secret_value(), base_url=url, options=_options(url), ssh_port=port)


def _modal(settings: Settings, *, deployment: str) -> Provider | None:
    token_id, token_secret = settings.modal_token_id, settings.modal_token_secret
    if token_id is None or token_secret is None:
        if token_id is not token_secret:
            raise SettingsError("MODAL_TOKEN_ID and MODAL_TOKEN_SECRET go together: set both.")
        return None
    if find_spec("modal") is None:
        raise SettingsError("Modal's tokens are set, but its package is not there: pip install 'hourglass[modal]'.")
    return ModalProvider(
        token_id=token_id.get_secret_value(),
        token_secret=token_secret.get_secret_value(),
        server_url=settings.modal_url,
        options=_options(settings.modal_url),
        app_name=f"hourglass-{deployment}",
    )


def _desk(settings: Settings) -> Provider | None:
    sheet, url, token = settings.price_sheet, settings.desk_url, settings.desk_token
    if sheet is None and url is None and token is None:
        return None
    if sheet is None or url is None or token is None:
        raise SettingsError(
            "HOURGLASS_PRICE_SHEET, HOURGLASS_DESK_URL and HOURGLASS_DESK_TOKEN go together: set all three."
        )
    return ManualProvider(sheet=sheet, token=token.get_secret_value(), base_url=url, options=_options(url))


def _options(url: str) -> WireOptions:
    """A cloud on this machine is not spared."""
    return WireOptions(pace_factor=0.0 if _is_local(url) else 1.0, on_call=count_call)


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
