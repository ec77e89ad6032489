"""Lambda's SSH keys: named, one for each launch."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import asyncssh

from app.sandbox.clouds import Call
from app.sandbox.lambda_cloud.errors import invalid_parameters, lambda_error

_NAME_MAX = 64


class NamedKeys:
    """The account's keys and their calls."""

    def __init__(self, chance: random.Random, *, in_use: Callable[[str], bool]) -> None:
        self._random = chance
        self._in_use = in_use
        self._keys: dict[str, dict[str, str]] = {}

    def public_key(self, name: str) -> str | None:
        """Return the key of this name."""
        found = (key["public_key"] for key in self._keys.values() if key["name"] == name)
        return next(found, None)

    async def list(self, call: Call) -> object:  # noqa: ARG002 - every handler takes the call
        """``GET /ssh-keys``."""
        return {"data": list(self._keys.values())}

    async def add(self, call: Call) -> object:
        """``POST /ssh-keys``: without a public key a pair is made and its private half told this once."""
        name, text = call.body.get("name"), call.body.get("public_key")
        if not isinstance(name, str) or not 0 < len(name) <= _NAME_MAX:
            raise invalid_parameters("Invalid request data: name must have 1 to 64 characters.")
        if self.public_key(name) is not None:
            raise lambda_error(400, "global/duplicate", f"An SSH key named {name} exists already.")
        secret: dict[str, str] = {}
        if text is None:
            text, secret = _new_pair()
        elif not isinstance(text, str) or not text.strip().startswith(("ssh-", "ecdsa-", "sk-")):
            raise invalid_parameters("Invalid request data: public_key is not an SSH public key.")
        key = {"id": f"{self._random.getrandbits(128):032x}", "name": name, "public_key": text.strip()}
        self._keys[key["id"]] = key
        return {"data": {**key, **secret}}

    async def remove(self, call: Call) -> object:
        """``DELETE /ssh-keys/{id}``: an unknown key is fine, one in use is not."""
        key: dict[str, Any] | None = self._keys.get(str(call.path["id"]))
        if key is not None and self._in_use(key["name"]):
            raise lambda_error(400, "ssh-keys/key-in-use", "The SSH key is in use by one or more instances.")
        self._keys.pop(str(call.path["id"]), None)
        return {"data": {}}


def _new_pair() -> tuple[str, dict[str, str]]:
    pair = asyncssh.generate_private_key("ssh-ed25519")
    public = pair.export_public_key().decode().strip()
    return public, {"private_key": pair.export_private_key().decode()}
