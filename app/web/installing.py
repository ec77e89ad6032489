"""Fitting the edge to an application."""

from __future__ import annotations

from enum import Enum

from fastapi import APIRouter, FastAPI

from app.web.acts import Witness, keep_witness
from app.web.metrics import RequestMetrics
from app.web.middleware import Bounds, Edge
from app.web.openapi import complete_openapi
from app.web.principal import AppState
from app.web.problems import tell_problems
from app.web.reading import JsonRoute


def new_router(prefix: str, *, tag: str) -> APIRouter:
    """Return the router of a room: its routes read JSON strictly."""
    tags: list[str | Enum] = [tag]
    return APIRouter(prefix=prefix, tags=tags, route_class=JsonRoute)


def install(
    app: FastAPI,
    state: AppState,
    *,
    bounds: Bounds | None = None,
    metrics: RequestMetrics | None = None,
    witness: Witness | None = None,
) -> None:
    """Put the state, the problem details and the middleware into an application. Call once, before it serves.

    What its requests change is told to the witness.
    """
    app.state.hourglass = state
    if witness is not None:
        keep_witness(app, witness)
    tell_problems(app)
    complete_openapi(app)
    sessions = getattr(state, "sessions", None)  # an application that nobody signs in to may have none
    app.add_middleware(Edge, bounds=bounds, metrics=metrics, site=sessions and sessions.site)
