"""Customers."""

from __future__ import annotations

from app.sandbox.stripe import lists
from app.sandbox.stripe.books import Books, StripeCall
from app.sandbox.stripe.errors import missing
from app.sandbox.stripe.forms import LIST, Spec, merged
from app.sandbox.stripe.ids import chance, new_id
from app.sandbox.stripe.store import Obj

ADDRESS: Spec = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"), str)
_FIELDS: Spec = {
    "address": ADDRESS,
    "description": str,
    "email": str,
    "invoice_settings": {"default_payment_method": str},
    "metadata": dict,
    "name": str,
    "phone": str,
    "preferred_locales": [str],
    "tax_exempt": ("none", "exempt", "reverse"),
}
CREATE: Spec = _FIELDS
UPDATE: Spec = _FIELDS
LIST_SPEC: Spec = LIST | {"email": str}


class Customers:
    """The people and firms who pay."""

    def __init__(self, books: Books) -> None:
        self._books = books

    def need(self, customer_id: str, *, param: str | None = None) -> Obj:
        """Return a customer that was not deleted."""
        found = self._books.need("customer", customer_id, param=param)
        if found.get("deleted"):
            raise missing("customer", customer_id, param=param)
        return found

    def create(self, call: StripeCall) -> Obj:
        """``POST /v1/customers``."""
        params = call.params
        customer = {
            "id": new_id("cus"),
            "object": "customer",
            "address": params.get("address"),
            "balance": 0,
            "created": self._books.now(),
            "currency": None,
            "default_source": None,
            "delinquent": False,
            "description": params.get("description"),
            "discount": None,
            "email": params.get("email"),
            "invoice_prefix": chance(8).upper(),
            "invoice_settings": _invoice_settings(params.get("invoice_settings", {}).get("default_payment_method")),
            "livemode": False,
            "metadata": merged({}, params.get("metadata", {})),
            "name": params.get("name"),
            "next_invoice_sequence": 1,
            "phone": params.get("phone"),
            "preferred_locales": params.get("preferred_locales", []),
            "shipping": None,
            "tax_exempt": params.get("tax_exempt") or "none",
            "test_clock": None,
        }
        self._books.store.add(customer)
        self._books.emit("customer.created", customer)
        return customer

    def get(self, call: StripeCall) -> Obj:
        """``GET /v1/customers/{id}``: a deleted one is little more than its id."""
        found = self._books.need("customer", call.id)
        return {"id": found["id"], "object": "customer", "deleted": True} if found.get("deleted") else found

    def update(self, call: StripeCall) -> Obj:
        """``POST /v1/customers/{id}``."""
        customer, new = self.need(call.id), dict(call.params)
        if "metadata" in new:
            new["metadata"] = merged(customer["metadata"], new["metadata"])
        if "invoice_settings" in new:
            method = new["invoice_settings"].get("default_payment_method")
            if method is not None and self._books.need("payment_method", method)["customer"] != customer["id"]:
                raise missing("payment method", method, param="invoice_settings[default_payment_method]")
            new["invoice_settings"] = _invoice_settings(method)
        if previous := self._books.change(customer, **new):
            self._books.emit("customer.updated", customer, previous)
        return customer

    def delete(self, call: StripeCall) -> Obj:
        """``DELETE /v1/customers/{id}``."""
        customer = self.need(call.id)
        self._books.change(customer, deleted=True)
        self._books.emit("customer.deleted", {key: customer[key] for key in customer if key != "deleted"})
        return {"id": customer["id"], "object": "customer", "deleted": True}

    def list(self, call: StripeCall) -> Obj:
        """``GET /v1/customers``."""
        living = (row for row in self._books.store.all("customer") if not row.get("deleted"))
        return lists.page(lists.matching(living, call.params, "email"), call.params, "/v1/customers", noun="customer")


def _invoice_settings(method: str | None) -> Obj:
    return {"custom_fields": None, "default_payment_method": method, "footer": None, "rendering_options": None}
