"""What the OpenAPI document says of the room."""

from __future__ import annotations

from app.rentals.showing.endpoints import ROUTERS


def test_every_operation_has_an_id_of_its_own_a_text_and_its_errors(app) -> None:
    document = app.openapi()
    paths = {route.path for router in ROUTERS for route in router.routes}
    ids = []
    for path in paths:
        for method, operation in document["paths"][path].items():
            ids.append(operation["operationId"])
            assert operation["description"], (path, method)
            assert "401" in operation["responses"], (path, method)
            if "{" in path:
                assert "404" in operation["responses"], (path, method)
    assert len(ids) == len(set(ids)) >= 24


def test_creating_a_rental_names_every_error_it_can_give(app) -> None:
    responses = app.openapi()["paths"]["/v1/rentals"]["post"]["responses"]
    codes = {
        code
        for response in responses.values()
        for code in response.get("content", {}).get("application/problem+json", {}).get("examples", {})
    }
    assert codes >= {
        "idempotency_key_missing",
        "insufficient_balance",
        "no_matching_listings",
        "quote_expired",
        "price_changed",
        "idempotency_in_progress",
        "idempotency_mismatch",
        "validation_failed",
        "unknown_family",
        "weak_key",
        "locked",
    }
