"""The API process: every room's routes, the operator's endpoints, and how it is served."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
from collections.abc import AsyncIterator, Sequence
from typing import cast

import structlog
import uvicorn
from fastapi import FastAPI, Response
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from pydantic import BaseModel

from app import audit
from app.audit import endpoints as audit_endpoints
from app.bootstrap import ApiState, new_api_state
from app.catalog import endpoints as catalog_endpoints
from app.kit.log import configure_logs
from app.ledger import endpoints as ledger_endpoints
from app.notifications import endpoints as notification_endpoints
from app.policies import endpoints as policy_endpoints
from app.policies.imports import endpoints as policy_import_endpoints
from app.policies.requests import endpoints as policy_request_endpoints
from app.rentals.showing import endpoints as rental_endpoints
from app.reports import endpoints as report_endpoints
from app.settings import Settings, read_settings
from app.statements import endpoints as statement_endpoints
from app.tenancy import endpoints as tenancy_endpoints
from app.tenancy.people import endpoints as sign_in_endpoints
from app.tenancy.people import session_endpoints
from app.topups.charging import endpoints as topup_endpoints
from app.topups.events import endpoints as webhook_endpoints
from app.topups.payments import endpoints as payment_endpoints
from app.topups.visits import card_endpoints
from app.topups.visits import endpoints as checkout_endpoints
from app.wallet import endpoints as wallet_endpoints
from app.web import RequestMetrics, install

log = structlog.get_logger(__name__)

_DESCRIPTION = """GPUs rented by the second, prepaid: one API and one wallet in front of many GPU clouds.

Money is a decimal string in US dollars, times are RFC 3339 in UTC, lists are paged by cursor, and every POST that spends
or creates takes an `Idempotency-Key`. Errors are problem details (RFC 9457) whose `code` is stable."""

ROUTERS = (
    *tenancy_endpoints.ROUTERS,
    sign_in_endpoints.router,
    session_endpoints.router,
    catalog_endpoints.router,
    wallet_endpoints.router,
    ledger_endpoints.router,
    checkout_endpoints.router,
    card_endpoints.router,
    card_endpoints.public_router,
    payment_endpoints.router,
    topup_endpoints.router,
    statement_endpoints.router,
    audit_endpoints.router,
    report_endpoints.router,
    webhook_endpoints.router,
    *notification_endpoints.ROUTERS,
    policy_endpoints.router,
    policy_import_endpoints.router,
    policy_request_endpoints.router,
    *rental_endpoints.ROUTERS,
)
"""Every room's routes, by hand."""

_READY_SECONDS_MAX = 2.0
_GRACE_SECONDS = 15
_GC_THRESHOLDS = (50_000, 50, 100)
"""Collections are the tail of latency: after start-up what lives is frozen, and young garbage may gather for longer."""


class Health(BaseModel):
    """Whether this process works."""

    status: str


def create_app(state: ApiState) -> FastAPI:
    """Return the application. Its figures are counted apart from another application's in the same process."""
    registry = CollectorRegistry()
    app = FastAPI(
        title="Hourglass",
        version="0.1.0",
        description=_DESCRIPTION,
        lifespan=_living,
        docs_url="/docs",
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    for router in ROUTERS:
        app.include_router(router)
    _add_operators_endpoints(app, state, registry)
    install(app, state, metrics=RequestMetrics(registry), witness=audit.witness)
    return app


def serve(settings: Settings, *, sockets: Sequence[socket.socket] = ()) -> None:
    """Serve until told to stop, on the given listening sockets or on the settings' host and port."""
    serve_app(create_app(new_api_state(settings)), settings, sockets=sockets)


def serve_app(app: FastAPI, settings: Settings, *, sockets: Sequence[socket.socket] = ()) -> None:
    """Serve an application that is made already, as ``serve`` does."""
    uvicorn.Server(server_config(app, settings)).run(sockets=list(sockets) or None)


def server_config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """Return how an application is served. Of a request by a trusted proxy, its header says where it comes from."""
    proxies = [str(network) for network in settings.trusted_proxies]
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )


def main() -> None:
    """Serve by what the environment says."""
    settings = read_settings()
    configure_logs(process="api", level=settings.log_level)
    serve(settings)


@contextlib.asynccontextmanager
async def _living(app: FastAPI) -> AsyncIterator[None]:
    state = cast("ApiState", app.state.hourglass)
    uses = asyncio.create_task(state.authenticator.keep_last_used())
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    log.info("api.started", routes=len(app.routes))
    try:
        yield
    finally:
        uses.cancel()
        await asyncio.wait({uses})
        await _close(state)
        log.info("api.stopped")


async def _close(state: ApiState) -> None:
    """The database may be gone before us: then there is nothing left to write."""
    try:
        async with asyncio.timeout(_READY_SECONDS_MAX):
            await state.aclose()
    except Exception as error:  # noqa: BLE001 - the process ends anyway
        log.warning("api.close_failed", error=type(error).__name__)


def _add_operators_endpoints(app: FastAPI, state: ApiState, registry: CollectorRegistry) -> None:
    @app.get("/healthz", tags=["operation"], operation_id="get_health")
    async def healthz() -> Health:
        """Say that this process answers."""
        return Health(status="ok")

    @app.get("/readyz", tags=["operation"], operation_id="get_readiness", responses={503: {"model": Health}})
    async def readyz(response: Response) -> Health:
        """Say whether this process can serve: whether its database answers as both roles."""
        if await _is_ready(state):
            return Health(status="ready")
        response.status_code = 503
        response.headers["Retry-After"] = "1"
        return Health(status="database_unreachable")

    @app.get(
        "/metrics", tags=["operation"], operation_id="get_metrics", response_class=Response, include_in_schema=False
    )
    async def metrics() -> Response:
        """Return the figures of this process for Prometheus."""
        text = generate_latest(REGISTRY) + generate_latest(registry)
        return Response(text, media_type=CONTENT_TYPE_PLAIN_0_0_4)


async def _is_ready(state: ApiState) -> bool:
    try:
        async with asyncio.timeout(_READY_SECONDS_MAX):
            await asyncio.gather(*(db.fetch_once("SELECT 1") for db in (state.db, state.auth_db)))
    except Exception as error:  # noqa: BLE001 - whatever it is, this process can't serve now
        log.warning("api.not_ready", error=type(error).__name__)
        return False
    return True


if __name__ == "__main__":
    main()
