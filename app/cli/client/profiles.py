"""Where the API is and which key opens it: by environment, by profile, or the ``up`` that runs here.

In this order: HOURGLASS_URL and HOURGLASS_API_KEY; the profile that ``--profile`` names, or the one called ``default``;
the demo account of HOURGLASS_HOME.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from app.cli.errors import CliError, Exit, UsageError

DEFAULT = "default"
_LOCAL_PORT = "8000"


@dataclass(frozen=True, slots=True)
class Access:
    """One API and a key to it."""

    url: str
    api_key: str = field(repr=False)


def find_access(profile: str | None) -> Access:
    """Return what to use.

    Raises:
        CliError: nothing is configured, or the named profile isn't.
    """
    by_environment = os.environ.get("HOURGLASS_API_KEY")
    if by_environment and profile is None:
        return Access(_url(os.environ.get("HOURGLASS_URL") or _local_url()), by_environment)
    kept = read_profiles()
    if (found := kept.get(profile or DEFAULT)) is not None:
        return found
    if profile is not None:
        raise UsageError(f"There is no profile {profile!r}. Make it with: hourglass login --profile {profile}")
    return _demo_access()


def read_profiles() -> dict[str, Access]:
    """Return every profile."""
    from app.kit.private_files import read_private

    try:
        told = json.loads(read_private(_path()) or "{}")
        return {name: Access(value["url"], value["api_key"]) for name, value in told.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CliError(f"{_path()} can't be read. Remove it and log in again: hourglass login") from None


def keep_profile(name: str, access: Access) -> Path:
    """Keep a profile in a file that only its owner reads; return where."""
    from app.kit.private_files import write_private

    profiles = {**read_profiles(), name: Access(_url(access.url), access.api_key)}
    path = _path()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(path, json.dumps({key: {"url": it.url, "api_key": it.api_key} for key, it in profiles.items()}))
    return path


def _demo_access() -> Access:
    from app.cli.home import read_demo

    demo = read_demo(Path(os.environ.get("HOURGLASS_HOME") or ".hourglass"))
    if demo is None:
        raise CliError(
            "No API key. Set HOURGLASS_URL and HOURGLASS_API_KEY, or keep a profile with: hourglass login, or start a "
            "service of your own with: hourglass up",
            exit_code=Exit.AUTH,
        )
    return Access(_url(os.environ.get("HOURGLASS_URL") or _local_url()), demo.api_key)


def _local_url() -> str:
    return f"http://127.0.0.1:{os.environ.get('HOURGLASS_PORT') or _LOCAL_PORT}"


def _url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise UsageError(f"{text!r} is no URL of an API: it begins with https:// or http://")
    return text.rstrip("/")


def _path() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "hourglass" / "profiles.json"
