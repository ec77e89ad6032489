"""Hyperstack's environments and the SSH keys in them: each environment pins a region and has keys of its own."""

from __future__ import annotations

import base64
import binascii
import hashlib
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.sandbox.clouds import Call
from app.sandbox.hyperstack.errors import already_exist, bad_request, not_found
from app.sandbox.hyperstack.market import REGIONS
from app.sandbox.hyperstack.paging import paged

_NAME_MAX = 50
_DONE = {"status": True, "message": "Success"}


@dataclass(frozen=True, slots=True)
class Environment:
    """A part of the account in one region."""

    id: int
    name: str
    region: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An SSH key of one environment."""

    id: int
    name: str
    environment: Environment
    public_key: str
    created_at: datetime


class Environments:
    """The account's environments and keys, and their calls."""

    def __init__(self, *, in_use: Callable[[str], bool]) -> None:
        self._in_use = in_use
        self._ids = itertools.count(101)
        self._environments: dict[int, Environment] = {}
        self._keys: dict[int, KeyPair] = {}

    def find(self, name: object) -> Environment | None:
        """Return the environment of this name."""
        return next((one for one in self._environments.values() if one.name == name), None)

    def key(self, name: object, environment: Environment) -> KeyPair | None:
        """Return an environment's key of this name."""
        found = (key for key in self._keys.values() if key.name == name and key.environment == environment)
        return next(found, None)

    async def list(self, call: Call) -> object:
        """``GET /core/environments``."""
        rows = [environment_row(one) for one in self._environments.values()]
        return paged("environments", _searched(rows, call.query), call.query)

    async def add(self, call: Call) -> object:
        """``POST /core/environments``."""
        name, region = _name(call.body.get("name")), call.body.get("region")
        if region not in REGIONS:
            raise bad_request("Invalid region provided.")
        if self.find(name) is not None:
            raise already_exist(f"Environment with name {name} already exists.")
        made = Environment(next(self._ids), name, str(region), call.at)
        self._environments[made.id] = made
        return {**_DONE, "environment": environment_row(made)}

    async def remove(self, call: Call) -> object:
        """``DELETE /core/environments/{id}``: not while a machine is in it."""
        found = self._environments.get(int(call.path["id"]))
        if found is None:
            raise not_found("Environment does not exist.")
        if self._in_use(found.name):
            raise bad_request("Environment has associated resources.")
        del self._environments[found.id]
        self._keys = {key.id: key for key in self._keys.values() if key.environment != found}
        return _DONE

    async def list_keys(self, call: Call) -> object:
        """``GET /core/keypairs``: the keys of all environments."""
        return paged("keypairs", _searched([_key_row(key) for key in self._keys.values()], call.query), call.query)

    async def add_key(self, call: Call) -> object:
        """``POST /core/keypairs``."""
        name, environment = _name(call.body.get("name")), self.find(call.body.get("environment_name"))
        if environment is None:
            raise not_found("Environment does not exist.")
        text = call.body.get("public_key")
        if not isinstance(text, str) or not text.strip().startswith(("ssh-", "ecdsa-")):
            raise bad_request("Invalid public key.")
        if self.key(name, environment) is not None:
            raise already_exist(f"Keypair with name {name} already exists in this environment.")
        made = KeyPair(next(self._ids), name, environment, text.strip(), call.at)
        self._keys[made.id] = made
        return {**_DONE, "keypair": _key_row(made)}

    async def remove_key(self, call: Call) -> object:
        """``DELETE /core/keypair/{id}``."""
        if self._keys.pop(int(call.path["id"]), None) is None:
            raise not_found("Keypair does not exist.")
        return _DONE


def environment_row(environment: Environment) -> dict[str, Any]:
    """Return an environment as the wire shows it."""
    return {
        "id": environment.id,
        "name": environment.name,
        "region": environment.region,
        "created_at": wire_time(environment.created_at),
        "features": {"network_optimised": False, "green_status": "GREEN"},
    }


def wire_time(at: datetime) -> str:
    """Return a time as the wire has it: in UTC, without saying so."""
    return f"{at:%Y-%m-%dT%H:%M:%S}"


def _key_row(key: KeyPair) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "environment": environment_row(key.environment),
        "public_key": key.public_key,
        "fingerprint": _fingerprint(key.public_key),
        "created_at": wire_time(key.created_at),
    }


def _fingerprint(line: str) -> str:
    try:
        blob = base64.b64decode(line.split()[1])
    except (IndexError, binascii.Error):
        blob = line.encode()
    return hashlib.md5(blob, usedforsecurity=False).hexdigest()


def _name(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _NAME_MAX:
        raise bad_request(f"name must have 1 to {_NAME_MAX} characters.")
    return value


def _searched(rows: list[dict[str, Any]], query: Mapping[str, str]) -> list[dict[str, Any]]:
    return [row for row in rows if query.get("search", "").lower() in row["name"].lower()]
