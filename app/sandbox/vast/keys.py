"""Vast's SSH keys: the account's, put into every new instance, and those attached to a single one."""

from __future__ import annotations

import itertools
from typing import Any

from app.kit.clock import rfc3339
from app.sandbox.answers import Refusal
from app.sandbox.clouds import Call
from app.sandbox.vast.search import invalid_args

_USER_ID = 9


class KeyRing:
    """The account's keys and their calls."""

    def __init__(self) -> None:
        self._numbers = itertools.count(101)
        self._keys: dict[int, dict[str, Any]] = {}

    def texts(self) -> list[str]:
        """Return the public keys."""
        return [str(key["public_key"]) for key in self._keys.values()]

    def next_id(self) -> str:
        """Return an id for a key attached to one instance."""
        return str(next(self._numbers))

    async def add(self, call: Call) -> dict[str, Any]:
        """``POST /api/v0/ssh/``."""
        number = next(self._numbers)
        self._keys[number] = key = {
            "id": number,
            "user_id": _USER_ID,
            "public_key": public_key(call),
            "created_at": rfc3339(call.at),
            "deleted_at": None,
        }
        return {"success": True, "key": key}

    async def list(self, call: Call) -> object:  # noqa: ARG002 - every handler takes the call
        """``GET /api/v0/ssh/``: a bare array whose items say ``key`` where the add says ``public_key``."""
        return [
            {("key" if name == "public_key" else name): value for name, value in key.items()}
            for key in self._keys.values()
        ]

    async def change(self, call: Call) -> dict[str, Any]:
        """``PUT /api/v0/ssh/{id}/``."""
        self._find(call)["public_key"] = public_key(call)
        return {"success": True}

    async def remove(self, call: Call) -> dict[str, Any]:
        """``DELETE /api/v0/ssh/{id}/``."""
        del self._keys[int(self._find(call)["id"])]
        return {"success": True}

    def _find(self, call: Call) -> dict[str, Any]:
        key = self._keys.get(int(call.path["id"]))
        if key is None:
            body = {"success": False, "error": "no_such_key", "msg": f"SSH key {call.path['id']} not found."}
            raise Refusal(404, body)
        return key


def public_key(call: Call) -> str:
    """Return the key in a body, or refuse."""
    text = call.body.get("ssh_key")
    if not isinstance(text, str) or not text.strip().startswith(("ssh-", "ecdsa-", "sk-")):
        raise invalid_args("ssh_key must be a public key")
    return text.strip()
