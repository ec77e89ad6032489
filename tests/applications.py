"""Applications of some rooms' routes, each with a state of its own."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.routing import BaseRoute

from app.web import install

_included: dict[int, list[BaseRoute]] = {}
"""What a router becomes in an application, by the router's identity, which what is kept here keeps alive."""


def new_app(state: Any, *routers: APIRouter, **options: Any) -> FastAPI:
    """Return an application with these routes; the options are those of ``install``."""
    app = FastAPI()
    for router in routers:
        app.routes.extend(_included.get(id(router)) or _include(router))
    install(app, state, **options)
    return app


def _include(router: APIRouter) -> list[BaseRoute]:
    """Include a router once for all applications: FastAPI takes milliseconds for each route when first asked for one."""
    app = FastAPI(openapi_url=None)
    app.include_router(router)
    _included[id(router)] = app.routes
    return app.routes
