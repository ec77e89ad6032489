"""Idempotency keys: the first answer under a key is the answer to every repetition of the call."""

from __future__ import annotations

import hashlib
from typing import Any

from app.sandbox.stripe.errors import StripeRefusal
from app.sandbox.stripe.store import Obj, Store

_KEY_MAX = 255
_KEPT_SECONDS = 86_400
_KIND = "idempotency_key"


class Answers:
    """What was answered under which key, for a day."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._in_flight: set[str] = set()

    def begin(self, key: str, path: str, body: str, *, now: int) -> Obj | None:
        """Return the first call's answer, or None for that call itself, which must ``end``.

        Raises:
            StripeRefusal: the key was used for another call, or its call still runs.
        """
        if len(key) > _KEY_MAX:
            raise StripeRefusal(
                400, f"Idempotency keys can have up to {_KEY_MAX} characters.", kind="idempotency_error"
            )
        if key in self._in_flight:
            raise StripeRefusal(
                409, "There is currently another in-progress request using this Idempotent Key.",
                kind="idempotency_error", code="idempotency_key_in_use",
            )  # fmt: skip
        found = self._store.get(_KIND, key)
        if found is not None and found["created"] < now - _KEPT_SECONDS:
            self._store.remove(found)
            found = None
        if found is None:
            self._in_flight.add(key)
        elif (found["path"], found["digest"]) != (path, _digest(body)):
            raise StripeRefusal(
                400,
                "Keys for idempotent requests can only be used with the same parameters they were first used with. "
                f"Try using a key other than '{key}' if you meant to execute a different request.",
                kind="idempotency_error",
            )
        return found

    def end(self, key: str) -> None:
        """Let the key's next call in."""
        self._in_flight.discard(key)

    def keep(self, key: str, path: str, body: str, *, now: int, status: int, answer: Any, request_id: str) -> None:  # noqa: ANN401 - any JSON; a row
        """Remember what was answered."""
        self._store.add(
            {
                "object": _KIND,
                "id": key,
                "created": now,
                "path": path,
                "digest": _digest(body),
                "status": status,
                "answer": answer,
                "request_id": request_id,
            }
        )


def _digest(body: str) -> str:
    return hashlib.sha256("&".join(sorted(body.split("&"))).encode()).hexdigest()
