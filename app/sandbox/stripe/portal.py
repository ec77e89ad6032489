"""Billing portal sessions: a page where customers look after their cards."""

from __future__ import annotations

from app.sandbox.stripe.books import Books, StripeCall
from app.sandbox.stripe.customers import Customers
from app.sandbox.stripe.forms import Spec, need_urls
from app.sandbox.stripe.ids import chance, new_id
from app.sandbox.stripe.store import Obj

CREATE: Spec = {
    "configuration": str,
    "customer!": str,
    "flow_data": {
        "type!": ("payment_method_update",),
        "after_completion": {
            "type!": ("portal_homepage", "redirect", "hosted_confirmation"),
            "redirect": {"return_url!": str},
            "hosted_confirmation": {"custom_message": str},
        },
    },
    "locale": str,
    "return_url": str,
}


class PortalSessions:
    """Ways into the portal; the last part of their address is all that opens it."""

    def __init__(self, books: Books, customers: Customers) -> None:
        self._books = books
        self._customers = customers

    def create(self, call: StripeCall) -> Obj:
        """``POST /v1/billing_portal/sessions``."""
        params = call.params
        need_urls(params, "return_url")
        customer = self._customers.need(params["customer"], param="customer")
        secret = f"test_{chance(40)}"
        session: Obj = {
            "id": new_id("bps"),
            "object": "billing_portal.session",
            "configuration": params.get("configuration") or "bpc_sandbox",
            "created": self._books.now(),
            "customer": customer["id"],
            "customer_account": None,
            "flow": _flow(params.get("flow_data")),
            "livemode": False,
            "locale": params.get("locale"),
            "on_behalf_of": None,
            "return_url": params.get("return_url"),
            "url": f"{call.base_url}/p/session/{secret}",
        }
        return self._books.store.add(session, secret=secret)

    def opened_by(self, secret: str) -> Obj | None:
        """Return the session that an address opens."""
        rows = self._books.store.all("billing_portal.session")
        return next((row for row in rows if self._books.store.notes(row)["secret"] == secret), None)


def _flow(data: Obj | None) -> Obj | None:
    if data is None:
        return None
    after = data.get("after_completion", {"type": "portal_homepage"})
    return {
        "after_completion": {
            "hosted_confirmation": after.get("hosted_confirmation"),
            "redirect": after.get("redirect"),
            "type": after["type"],
        },
        "subscription_cancel": None,
        "subscription_update": None,
        "subscription_update_confirm": None,
        "type": data["type"],
    }
