"""What happens by itself as time goes by: sessions expire, late outcomes come, old events and keys are forgotten."""

from __future__ import annotations

from app.sandbox.stripe.books import Books
from app.sandbox.stripe.checkout import Checkout
from app.sandbox.stripe.refunds import Refunds
from app.sandbox.stripe.sessions import Sessions
from app.sandbox.stripe.store import Obj

_FORGOTTEN_AFTER_SECONDS = {"event": 30 * 86_400, "idempotency_key": 86_400}


class Tending:
    """Looks after the account's agenda."""

    def __init__(
        self, books: Books, sessions: Sessions, checkout: Checkout, refunds: Refunds, *, settles_after: float | None
    ) -> None:
        self._books = books
        self._sessions = sessions
        self._checkout = checkout
        self._refunds = refunds
        self._settles_after = settles_after

    def tend(self) -> None:
        """Do what is due."""
        for object_id in self._books.agenda.due(self._books.now()):
            found = self._books.store.find(object_id)
            if found is None:
                continue
            if found["object"] == "refund":
                self._settle_refund(found)
            elif found["status"] == "open":
                if found["expires_at"] <= self._books.now():
                    self._sessions.end(found)
            elif self._is_on_its_way(found):
                self._checkout.settle(found, ok=True)

    def take_up(self) -> None:
        """Forget what is old, and put down again what was due when the account was last open."""
        store, now = self._books.store, self._books.now()
        for kind, seconds in _FORGOTTEN_AFTER_SECONDS.items():
            for row in [row for row in store.all(kind) if row["created"] < now - seconds]:
                store.remove(row)
        for session in store.all("checkout.session"):
            if session["status"] == "open":
                self._books.agenda.add(session["expires_at"], session["id"])
            elif self._settles_after is not None and self._is_on_its_way(session):
                self._books.agenda.add(now + self._settles_after, session["id"])
        for refund in store.all("refund"):
            if self._settles_after is not None and self._is_unsettled(refund):
                self._books.agenda.add(now + self._settles_after, refund["id"])

    def _settle_refund(self, refund: Obj) -> None:
        if self._is_unsettled(refund):
            self._refunds.settle(refund)

    def _is_unsettled(self, refund: Obj) -> bool:
        will_fail = bool(self._books.store.notes(refund)["will_fail"])
        return refund["status"] == "pending" or (will_fail and refund["status"] == "succeeded")

    def _is_on_its_way(self, session: Obj) -> bool:
        intent = self._checkout.intent(session)
        return session["mode"] == "payment" and intent is not None and intent["status"] == "processing"
