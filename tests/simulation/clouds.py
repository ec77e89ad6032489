"""The clouds of a simulated day and the adapters that speak with them: the sandbox's own, without its server."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
from starlette.applications import Starlette

from app.providers import (
    HyperstackProvider,
    LambdaProvider,
    ManualProvider,
    ModalProvider,
    Provider,
    RunpodProvider,
    VastProvider,
    WireOptions,
)
from app.sandbox import SandboxConfig
from app.sandbox.accidents import Accidents
from app.sandbox.clouds import Cloud
from app.sandbox.faults import Faults
from app.sandbox.fleet import Fleet
from app.sandbox.hyperstack.cloud import HyperstackCloud
from app.sandbox.lambda_cloud.cloud import LambdaCloud
from app.sandbox.limits import Limiter
from app.sandbox.machines import Truth
from app.sandbox.manual.cloud import DeskCloud
from app.sandbox.modal_cloud.cloud import ModalCloud
from app.sandbox.runpod.cloud import RunpodCloud
from app.sandbox.vast.cloud import VastCloud
from app.sandbox.world import World
from tests.simulation.modal_line import LinedSdk, client_over
from tests.simulation.paper import Street
from tests.simulation.timeline import Timeline
from tests.simulation.wire import Trouble, Wire

NAMES = ("vast", "lambda", "runpod", "hyperstack", "manual", "modal")
_URL = "http://clouds"
_PATIENT = 600.0
STRANGE = ("somebody-elses", "hg-another1-")
_SSH_PORT = 22_122


@dataclass(frozen=True)
class Sky:
    """Every cloud there is, and what there is to know of it."""

    world: World
    clouds: Mapping[str, Cloud]
    app: Starlette
    street: Street
    accidents: Accidents
    sheet: Path
    modal: ModalCloud
    modal_url: str
    sdks: list[LinedSdk] = field(default_factory=list)
    """Each has a thread, which outlives its worker."""

    def ours(self) -> list[Truth]:
        """Return the machines with this deployment's marker, or without any, that cost money right now."""
        return [one for one in self.world.fleet.truth() if one.ended_at is None and not is_strange(one)]

    async def aclose(self) -> None:
        """Stop what moves."""
        for sdk in self.sdks:
            await sdk.aclose()
        await self.modal.aclose()
        await self.world.fleet.aclose()
        shutil.rmtree(self.sheet.parent, ignore_errors=True)

    def adapters(
        self, troubles: Mapping[str, Trouble], timeline: Timeline, pause: Callable[[float], Awaitable[None]]
    ) -> dict[str, Provider]:
        """Return the adapters of one worker: each has a line of its own."""
        options = WireOptions(
            connect_seconds=_PATIENT,
            first_byte_seconds=_PATIENT,
            total_seconds=_PATIENT,
            first_retry_seconds=0,  # what is jittered is not told by the seed
            pace_factor=0,
            sleep=_at_once,
        )
        modal = self._modal_adapter(troubles["modal"], timeline, pause, options)
        clients = {
            name: httpx.AsyncClient(transport=Wire(self.app, trouble, pause, timeline.sleep), trust_env=False)
            for name, trouble in troubles.items()
            if name != "modal"
        }
        return {**self._http_adapters(clients, timeline, options), "modal": modal}

    def _http_adapters(
        self, clients: Mapping[str, httpx.AsyncClient], timeline: Timeline, options: WireOptions
    ) -> dict[str, Provider]:
        config = self.world.config
        made: dict[str, Callable[[httpx.AsyncClient], Provider]] = {
            "vast": lambda client: VastProvider(api_key=config.vast_key, base_url=_URL, client=client, options=options),
            "lambda": lambda client: LambdaProvider(
                api_key=config.lambda_key, base_url=_URL, client=client, options=options, ssh_port=config.ssh_port
            ),
            "runpod": lambda client: RunpodProvider(
                api_key=config.runpod_key, base_url=_URL, client=client, options=options
            ),
            "hyperstack": lambda client: HyperstackProvider(
                api_key=config.hyperstack_key,
                base_url=f"{_URL}/v1",
                client=client,
                options=options,
                ssh_port=config.ssh_port,
            ),
            "manual": lambda client: ManualProvider(
                sheet=self.sheet,
                token=config.desk_token,
                base_url=f"{_URL}/desk",
                client=client,
                options=options,
                clock=timeline,
            ),
        }
        return {name: made[name](client) for name, client in clients.items()}

    def _modal_adapter(
        self,
        trouble: Trouble,
        timeline: Timeline,
        pause: Callable[[float], Awaitable[None]],
        options: WireOptions,
    ) -> Provider:
        config = self.world.config
        facts = {"token_id": config.modal_token_id, "token_secret": config.modal_token_secret}
        sdk = LinedSdk(
            trouble,
            timeline,
            pause,
            token=(config.modal_token_id, config.modal_token_secret),
            server_url=self.modal_url,
            app_name="hourglass",
            options=options,
        )
        self.sdks.append(sdk)
        return ModalProvider(**facts, options=options, client=client_over(sdk, options))


async def open_sky(seed: int, timeline: Timeline, *, public_key: str) -> Sky:
    """Return the clouds of a seed. Markets move by the seed, too."""
    config = SandboxConfig(
        seed=seed,
        boot_seconds=25,
        terminate_seconds=4,
        terminated_seconds=30,
        ssh_port=_SSH_PORT,
        price_step_seconds=600,
    )
    faults = Faults(seed)
    street = Street(public_key=public_key)
    home = Path(tempfile.gettempdir()) / "hourglass-simulation"  # nothing is ever written there
    world = World(
        config=config,
        clock=timeline,
        faults=faults,
        fleet=Fleet(timeline, faults, home=home, start=street.start),
        limiter=Limiter(enabled=False),
        random=random.Random(seed),
    )
    at = timeline.now()
    desk, vast = DeskCloud(world, at=at), VastCloud(world, at=at)
    # The SDK remembers from day to day what it need not ask for again: its ids are drawn apart from all else.
    modal = ModalCloud(replace(world, random=random.Random(f"{seed}-modal")), at=at)
    clouds: dict[str, Cloud] = {
        "vast": vast,
        "lambda": LambdaCloud(world, at=at),
        "runpod": RunpodCloud(world, at=at),
        "hyperstack": HyperstackCloud(world, at=at),
        "manual": desk,
        "modal": modal,
    }
    app = Starlette(routes=[route for cloud in clouds.values() for route in cloud.routes()])
    app.router.redirect_slashes = False
    sheet = Path(tempfile.mkdtemp(prefix="hourglass-sheet-")) / "sheet.toml"
    sheet.write_text(desk.sheet(at), encoding="utf-8")
    return Sky(world, clouds, app, street, Accidents(world, vast), sheet, modal, await modal.start())


async def _at_once(seconds: float) -> None:
    """Wait for nothing before a second try: a lock may be held over it."""
    del seconds
    await asyncio.sleep(0)


def is_strange(machine: Truth) -> bool:
    """Say whether a machine is somebody else's, who shares the cloud account."""
    return (machine.marker or "").startswith(STRANGE)
