"""Environments: each pins a region, and holds its own SSH keys. Ours are ``default-REGION``, made when first needed."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from app.providers.errors import OutcomeUnknown, Rejected, Unavailable
from app.providers.hyperstack.client import HyperstackClient
from app.providers.hyperstack.parsing import EnvironmentKey, parse_key
from app.providers.keyring import Keyring, StoredKey
from app.providers.keys import PublicKey
from app.providers.reading import Malformed, mapping, name

_REMEMBERED_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Environment:
    """A part of the account in one region."""

    name: str
    region: str


class Environments:
    """Makes sure of environments and of the keys in them."""

    def __init__(self, client: HyperstackClient) -> None:
        self._client = client
        self._lock = asyncio.Lock()
        self._known: dict[str, tuple[str, float]] = {}
        self._keyrings: dict[str, Keyring] = {}

    async def ensure(self, region: str) -> str:
        """Return the name of our environment in a region, made unless it is there.

        Raises:
            ProviderError: as ``Provider.create``, never ``OutcomeUnknown``: no machine was asked for yet.
        """
        async with self._lock:
            known, until = self._known.get(region, (None, 0.0))
            if known is None or time.monotonic() >= until:
                known = await self._find(region)
                if known is None:
                    known = await self._make(region)
                self._known[region] = known, time.monotonic() + _REMEMBERED_SECONDS
            return known

    def keyring(self, environment: str) -> Keyring:
        """Return the keys of one environment."""
        if environment not in self._keyrings:
            self._keyrings[environment] = Keyring(
                lambda: self._stored_keys(environment), lambda title, key: self._add_key(environment, title, key)
            )
        return self._keyrings[environment]

    def forget(self) -> None:
        """Look again before trusting that an environment or a key is there."""
        self._known.clear()
        self._keyrings.clear()

    async def keys(self, operation: str) -> list[EnvironmentKey]:
        """Return all keys of all environments."""
        return await self._client.keys(operation, parse_key)

    async def _find(self, region: str) -> str | None:
        found = [one for one in await self._client.environments(_parse) if one.region == region]
        ours = _own_name(region)
        return next((one.name for one in found if one.name == ours), None)

    async def _make(self, region: str) -> str:
        try:
            await self._client.add_environment(_own_name(region), region)
        except Rejected:  # another process may have been faster
            if await self._find(region) is None:
                raise
        except OutcomeUnknown as error:
            raise Unavailable(error.message) from error
        return _own_name(region)

    async def _stored_keys(self, environment: str) -> list[StoredKey]:
        keys = await self.keys("ensure_ssh_key")
        return [StoredKey(key.key_id, key.name, key.key) for key in keys if key.environment == environment]

    async def _add_key(self, environment: str, title: str, key: PublicKey) -> StoredKey:
        return await self._client.add_key(title, environment, key.line, _added)


def _own_name(region: str) -> str:
    return f"default-{region}"


def _parse(value: object) -> Environment:
    item = mapping(value)
    return Environment(name(item.get("name")), name(item.get("region")))


def _added(value: object) -> StoredKey:
    key = parse_key(value)
    if key is None:
        raise Malformed("the key that was added is told as another kind")
    return StoredKey(key.key_id, key.name, key.key)
