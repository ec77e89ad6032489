"""The paths of Stripe's API that the sandbox answers."""

from __future__ import annotations

from typing import Protocol

from starlette.routing import Route

from app.sandbox.stripe import (
    balance,
    charges,
    customers,
    disputes,
    events,
    intents,
    methods,
    portal,
    refunds,
    sessions,
    setups,
)
from app.sandbox.stripe.rest import Wire


class Parts(Protocol):
    """The parts of an account that answer calls."""

    balance: balance.Balance
    charges: charges.Charges
    customers: customers.Customers
    disputes: disputes.Disputes
    events: events.Events
    intents: intents.PaymentIntents
    methods: methods.PaymentMethods
    portal: portal.PortalSessions
    refunds: refunds.Refunds
    sessions: sessions.Sessions
    setups: setups.SetupIntents


def api_routes(of: Parts, wire: Wire) -> list[Route]:
    """Return every path, and one for those that are not there."""
    route = wire.route
    return [
        route("POST", "/v1/customers", "create_customer", customers.CREATE, of.customers.create),
        route("GET", "/v1/customers", "list_customers", customers.LIST_SPEC, of.customers.list),
        route("GET", "/v1/customers/{id}", "get_customer", {}, of.customers.get),
        route("POST", "/v1/customers/{id}", "update_customer", customers.UPDATE, of.customers.update),
        route("DELETE", "/v1/customers/{id}", "delete_customer", {}, of.customers.delete),
        *_method_routes(of, wire),
        *_session_routes(of, wire),
        *_payment_routes(of, wire),
        route("POST", "/v1/refunds", "create_refund", refunds.CREATE, of.refunds.create),
        route("GET", "/v1/refunds", "list_refunds", refunds.LIST_SPEC, of.refunds.list),
        route("GET", "/v1/refunds/{id}", "get_refund", {}, of.refunds.get),
        route("POST", "/v1/refunds/{id}", "update_refund", refunds.UPDATE, of.refunds.update),
        route("GET", "/v1/disputes", "list_disputes", disputes.LIST_SPEC, of.disputes.list),
        route("GET", "/v1/disputes/{id}", "get_dispute", {}, of.disputes.get),
        route(
            "GET", "/v1/radar/early_fraud_warnings", "list_fraud_warnings", disputes.LIST_SPEC,
            of.disputes.list_warnings,
        ),
        route("GET", "/v1/radar/early_fraud_warnings/{id}", "get_fraud_warning", {}, of.disputes.get_warning),
        route(
            "GET", "/v1/balance_transactions", "list_balance_transactions", balance.LIST_SPEC, of.balance.list
        ),
        route("GET", "/v1/balance_transactions/{id}", "get_balance_transaction", {}, of.balance.get),
        route("GET", "/v1/events", "list_events", events.LIST_SPEC, of.events.list),
        route("GET", "/v1/events/{id}", "get_event", {}, of.events.get),
        route(
            "POST", "/v1/billing_portal/sessions", "create_portal_session", portal.CREATE, of.portal.create
        ),
        Route("/v1/{path:path}", wire.unknown, methods=["GET", "POST", "DELETE"]),
    ]  # fmt: skip


def _method_routes(of: Parts, wire: Wire) -> list[Route]:
    route, path = wire.route, "/v1/payment_methods"
    return [
        route("GET", path, "list_payment_methods", methods.LIST_SPEC, of.methods.list),
        route("GET", f"{path}/{{id}}", "get_payment_method", {}, of.methods.get),
        route("POST", f"{path}/{{id}}", "update_payment_method", methods.UPDATE, of.methods.update),
        route("POST", f"{path}/{{id}}/attach", "attach_payment_method", methods.ATTACH, of.methods.attach),
        route("POST", f"{path}/{{id}}/detach", "detach_payment_method", {}, of.methods.detach),
        route("GET", "/v1/customers/{id}/payment_methods", "list_payment_methods", methods.LIST_SPEC, of.methods.list),
        route("GET", "/v1/customers/{id}/payment_methods/{method}", "get_payment_method", {}, of.methods.get),
    ]


def _session_routes(of: Parts, wire: Wire) -> list[Route]:
    route, path = wire.route, "/v1/checkout/sessions"
    return [
        route("POST", path, "create_session", sessions.CREATE, of.sessions.create),
        route("GET", path, "list_sessions", sessions.LIST_SPEC, of.sessions.list),
        route("GET", f"{path}/{{id}}", "get_session", {}, of.sessions.get),
        route("POST", f"{path}/{{id}}/expire", "expire_session", {}, of.sessions.expire),
        route("GET", f"{path}/{{id}}/line_items", "list_session_lines", sessions.LINES, of.sessions.list_lines),
        route("GET", "/v1/setup_intents", "list_setup_intents", setups.LIST_SPEC, of.setups.list),
        route("GET", "/v1/setup_intents/{id}", "get_setup_intent", {}, of.setups.get),
    ]


def _payment_routes(of: Parts, wire: Wire) -> list[Route]:
    route, path = wire.route, "/v1/payment_intents"
    return [
        route("POST", path, "create_payment_intent", intents.CREATE, of.intents.create),
        route("GET", path, "list_payment_intents", intents.LIST_SPEC, of.intents.list),
        route("GET", f"{path}/search", "search_payment_intents", intents.SEARCH, of.intents.search),
        route("GET", f"{path}/{{id}}", "get_payment_intent", {}, of.intents.get),
        route("POST", f"{path}/{{id}}", "update_payment_intent", intents.UPDATE, of.intents.update),
        route("POST", f"{path}/{{id}}/confirm", "confirm_payment_intent", intents.CONFIRM, of.intents.confirm),
        route("POST", f"{path}/{{id}}/cancel", "cancel_payment_intent", intents.CANCEL, of.intents.cancel),
        route("GET", "/v1/charges", "list_charges", charges.LIST_SPEC, of.charges.list),
        route("GET", "/v1/charges/{id}", "get_charge", {}, of.charges.get),
    ]
