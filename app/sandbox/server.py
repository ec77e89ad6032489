"""The sandbox itself: every cloud on one port of this machine, in this process."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from app.kit.clock import Clock, SystemClock
from app.sandbox.accidents import Accidents
from app.sandbox.answers import TRANSPORT
from app.sandbox.clouds import Cloud
from app.sandbox.config import SandboxConfig
from app.sandbox.control import Control
from app.sandbox.faults import Faults
from app.sandbox.fleet import Fleet, StartHost
from app.sandbox.github.site import GithubSite
from app.sandbox.hosts import start_host
from app.sandbox.hyperstack.cloud import HyperstackCloud
from app.sandbox.lambda_cloud.cloud import LambdaCloud
from app.sandbox.limits import Limiter
from app.sandbox.machines import Truth
from app.sandbox.manual.cloud import DeskCloud
from app.sandbox.runpod.cloud import RunpodCloud
from app.sandbox.stripe import StripeAccount, StripeControl
from app.sandbox.vast.cloud import VastCloud
from app.sandbox.world import CallRecord, World

if TYPE_CHECKING:
    from app.sandbox.modal_cloud.cloud import ModalCloud

_STARTS_WITHIN_SECONDS = 10.0


class Sandbox:
    """Stand-ins for the clouds, speaking their real wire protocols. Made by ``start``, ended by ``aclose``."""

    def __init__(self, world: World, *, home: Path, temporary_home: bool) -> None:
        at = world.clock.now()
        self._world = world
        self._home = home
        self._temporary_home = temporary_home
        vast = VastCloud(world, at=at)
        self._desk = DeskCloud(world, at=at)
        self._clouds: tuple[Cloud, ...] = (
            vast,
            LambdaCloud(world, at=at),
            RunpodCloud(world, at=at),
            HyperstackCloud(world, at=at),
            self._desk,
        )
        self._modal = _modal_cloud(world, at=at)
        if self._modal is not None:
            self._clouds = (*self._clouds, self._modal)
        self.accidents = Accidents(world, vast)
        self.stripe = StripeAccount(world, path=None if temporary_home else home / "stripe.jsonl")
        self.github = GithubSite(world)
        self.price_sheet = home / "price-sheet.toml"
        """What the desk's machines cost: written at the start."""
        self.modal_url = ""
        """Where Modal answers; nowhere without the ``modal`` package."""
        self.url = ""
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls,
        config: SandboxConfig | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Clock | None = None,
        start_machine: StartHost = start_host,
    ) -> Self:
        """Start on a port, 0 for any free one; it answers once this returns.

        Raises:
            OSError: the port can't be had.
            FileNotFoundError: the config names a market that is not there.
        """
        config = config or SandboxConfig()
        home = config.home or Path(tempfile.mkdtemp(prefix="hourglass-sandbox-"))
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o711)
        config = replace(config, ssh_port=config.ssh_port or _free_port())
        clock, faults = clock or SystemClock(), Faults(config.seed)
        world = World(
            config=config,
            clock=clock,
            faults=faults,
            fleet=Fleet(clock, faults, home=home, start=start_machine),
            limiter=Limiter(enabled=config.rate_limits),
            random=random.Random(config.seed),  # noqa: S311 - reproducible on purpose
        )
        try:
            sandbox = cls(world, home=home, temporary_home=config.home is None)
            await sandbox._serve(host, port)
        except OSError:
            if config.home is None:
                shutil.rmtree(home, ignore_errors=True)
            raise
        return sandbox

    @property
    def config(self) -> SandboxConfig:
        """What it was told, with the SSH port it chose."""
        return self._world.config

    @property
    def faults(self) -> Faults:
        """Switches faults on and off."""
        return self._world.faults

    @property
    def truth(self) -> list[Truth]:
        """Every machine there ever was, who it was for, when it ran and what it cost."""
        return self._world.fleet.truth()

    @property
    def calls(self) -> list[CallRecord]:
        """The calls received, oldest first, the last 20,000 of them."""
        return list(self._world.calls)

    def offers(self) -> list[dict[str, object]]:
        """Return the markets as they really are, taken and withdrawn offers included."""
        at = self._world.clock.now()
        return [offer for cloud in self._clouds for offer in cloud.offers(at)]

    def change_offer(self, offer_id: str, deed: str, **more: object) -> None:
        """``withdraw``, ``restore`` or ``reprice`` an offer: a Vast ask id, or ``type:region`` of Lambda.

        Raises:
            LookupError: no such offer or deed.
        """
        if not any(cloud.change_offer(offer_id, deed, more) for cloud in self._clouds):
            raise LookupError(f"no offer {offer_id} to {deed}")

    async def aclose(self) -> None:
        """Close every connection, host and task, and remove a temporary home."""
        self._world.closing.set()
        if self._modal is not None:  # first, so that it starts no machine that nobody would close
            await self._modal.aclose()
        await self._world.fleet.aclose()
        await self.stripe.aclose()
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await self._serving
            self._server = None
        if self._temporary_home:
            await asyncio.to_thread(shutil.rmtree, self._home, ignore_errors=True)

    async def _serve(self, host: str, port: int) -> None:
        control = Control(self._world, self._clouds, self.accidents)
        routes = [
            *control.routes(),
            *(route for cloud in self._clouds for route in cloud.routes()),
            *StripeControl(self.stripe).routes(),
            *self.stripe.routes(),
            *self.github.routes(),
        ]
        app = Starlette(routes=routes)
        app.router.redirect_slashes = False
        listener = _listening(host, port)
        self.url = f"http://{host}:{listener.getsockname()[1]}"
        config = uvicorn.Config(
            _Connected(app), log_config=None, log_level="warning", access_log=False, lifespan="off", ws="none",
            timeout_graceful_shutdown=3,
        )  # fmt: skip
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]))
        await asyncio.wait_for(self._server.ready.wait(), _STARTS_WITHIN_SECONDS)
        if self._modal is not None:
            self.modal_url = await self._modal.start(host, self._world.config.modal_port)
        self.price_sheet.write_text(self._desk.sheet(self._world.clock.now()), encoding="utf-8")
        self.stripe.start(self.url)


def _listening(host: str, port: int) -> socket.socket:
    """Return a listening socket. It names its protocol: asyncio sends small answers at once on sockets that say TCP."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    return listener


def _modal_cloud(world: World, *, at: datetime) -> ModalCloud | None:
    """Return Modal, whose wire is in its own package; without the package there is no such cloud."""
    try:
        from app.sandbox.modal_cloud.cloud import ModalCloud  # noqa: PLC0415 - the package is an extra
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.partition(".")[0] not in {"modal", "modal_proto", "grpclib"}:
            raise
        return None
    return ModalCloud(world, at=at)


class _Server(uvicorn.Server):
    """A server that leaves the process's signals alone and tells when it is ready."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Connected:
    """Puts the connection within reach of those answers that cut it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[TRANSPORT] = cast("Any", send).__self__.transport
        await self._app(scope, receive, send)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
