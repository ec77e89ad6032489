"""The account keys at one cloud: found by their material, added once, remembered for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from app.providers.errors import OutcomeUnknown, Rejected, Unavailable
from app.providers.keys import PublicKey

_REMEMBERED_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as the cloud keeps it."""

    key_id: str
    name: str
    key: PublicKey


class Keyring:
    """Makes sure that the cloud account holds a key. One at a time, so that no process adds a key twice."""

    def __init__(
        self,
        list_keys: Callable[[], Awaitable[list[StoredKey]]],
        add_key: Callable[[str, PublicKey], Awaitable[StoredKey]],
    ) -> None:
        self._list_keys = list_keys
        self._add_key = add_key
        self._lock = asyncio.Lock()
        self._known: dict[PublicKey, tuple[StoredKey, float]] = {}

    async def ensure(self, name: str, key: PublicKey) -> StoredKey:
        """Return the key as the cloud keeps it, added under this name unless it is there under any.

        Raises:
            ProviderError: as ``Provider.ensure_ssh_key``.
        """
        async with self._lock:
            stored, until = self._known.get(key, (None, 0.0))
            if stored is None or time.monotonic() >= until:
                stored = await self._find(key) or await self._add(name, key)
                self._known[key] = stored, time.monotonic() + _REMEMBERED_SECONDS
            return stored

    async def ensure_for_create(self, key: PublicKey) -> StoredKey:
        """Return the key as ``ensure`` does. Doubt about it is no doubt about a machine: none was asked for yet.

        Raises:
            ProviderError: as ``Provider.create``, never ``OutcomeUnknown``.
        """
        try:
            return await self.ensure(key.name, key)
        except OutcomeUnknown as error:
            raise Unavailable(error.message) from error

    def forget(self, key_id: str | None = None) -> None:
        """Look again before trusting a key (all of them without an id)."""
        self._known = {
            key: known for key, known in self._known.items() if key_id is not None and known[0].key_id != key_id
        }

    async def _find(self, key: PublicKey) -> StoredKey | None:
        return next((stored for stored in await self._list_keys() if stored.key == key), None)

    async def _add(self, name: str, key: PublicKey) -> StoredKey:
        try:
            return await self._add_key(name, key)
        except Rejected:  # another process may have been faster
            stored = await self._find(key)
            if stored is None:
                raise
            return stored
