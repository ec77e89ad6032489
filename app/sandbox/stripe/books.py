"""What every part of a Stripe account works with: its objects, the time, and the events it tells of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from app.kit.clock import Clock
from app.sandbox.stripe.agenda import Agenda
from app.sandbox.stripe.errors import missing
from app.sandbox.stripe.ids import new_id
from app.sandbox.stripe.store import Obj, Store

API_VERSION = "2026-10-28.endive"


@dataclass(frozen=True, slots=True)
class StripeCall:
    """One request, read and admitted."""

    operation: str
    path: Mapping[str, str]
    params: dict[str, Any]
    base_url: str

    @property
    def id(self) -> str:
        """The id in the path."""
        return self.path["id"]


class Books:
    """The account's objects; every change of them is told of by an event."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store = store
        self.agenda = Agenda()
        self.listeners: list[Callable[[Obj], None]] = []
        self._clock = clock
        self._request: dict[str, str | None] = {"id": None, "idempotency_key": None}

    def now(self) -> int:
        """Return the second."""
        return int(self._clock.now().timestamp())

    def need(self, kind: str, object_id: str, *, noun: str | None = None, param: str | None = None) -> Obj:
        """Return an object.

        Raises:
            StripeRefusal: it is not there.
        """
        found = self.store.get(kind, object_id)
        if found is None:
            raise missing(noun or kind, object_id, param=param)
        return found

    def emit(self, name: str, obj: Obj, previous: Obj | None = None) -> Obj:
        """Write the event that something happened to an object, with what it was like before."""
        data: Obj = {"object": copy.deepcopy(obj)}
        if previous:
            data["previous_attributes"] = previous
        event = {
            "id": new_id("evt"),
            "object": "event",
            "api_version": API_VERSION,
            "created": self.now(),
            "data": data,
            "livemode": False,
            "pending_webhooks": 0,
            "request": dict(self._request),
            "type": name,
        }
        self.store.add(event)
        for listener in self.listeners:
            listener(event)
        return event

    def change(self, obj: Obj, **new: Any) -> Obj:  # noqa: ANN401 - any field of any object
        """Change fields of an object and return what they were before."""
        previous = {name: copy.deepcopy(obj.get(name)) for name, value in new.items() if obj.get(name) != value}
        obj.update(new)
        self.store.touch(obj)
        return previous

    @contextmanager
    def requested(self, request_id: str, idempotency_key: str | None) -> Iterator[None]:
        """Name the request that causes the events told meanwhile."""
        before, self._request = self._request, {"id": request_id, "idempotency_key": idempotency_key}
        try:
            yield
        finally:
            self._request = before
