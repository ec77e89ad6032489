"""A scene with one cloud: the suite runs once for each, against a stand-in that speaks the cloud's real wire."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

import asyncssh
import pytest

from app.providers import (
    Gone,
    LambdaProvider,
    Machine,
    MachineStatus,
    ManualProvider,
    Offer,
    Provider,
    RunpodProvider,
    VastProvider,
    WireOptions,
)
from app.providers.hyperstack import HyperstackProvider
from app.providers.modal_cloud import ModalProvider
from app.sandbox import Fault, Sandbox, SandboxConfig
from app.sandbox.machines import Truth

CLOUDS = ["vast", "lambda", "manual", "runpod", "hyperstack", "modal"]
KEEPS_KEYS = {"vast", "lambda", "hyperstack"}
"""Where keys are the cloud account's; elsewhere each machine is ordered with its own."""
OPEN_MARKET = {"vast"}
"""Where the market is open to all, with a key or without."""

PATIENCE = WireOptions(
    connect_seconds=2, first_byte_seconds=0.5, total_seconds=1, first_retry_seconds=0.01, pace_factor=0
)
_numbers = itertools.count(1)


@dataclass
class Scene:
    """One cloud of the sandbox, its adapter, and orders that fit it."""

    name: str
    cloud: Provider
    sandbox: Sandbox
    new_order: Callable[..., object]
    key: asyncssh.SSHKey
    calls: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def keeps_keys(self) -> bool:
        return self.name in KEEPS_KEYS

    @property
    def is_open_market(self) -> bool:
        return self.name in OPEN_MARKET

    def fault(self, kind: str, **more: object) -> None:
        self.sandbox.faults.add(Fault(kind, provider=self.name, **more))

    async def order(self, **changes: object):
        return self.ordered(await self.offer(spot=bool(changes.get("spot"))), **changes)

    def ordered(self, offer: Offer, **changes: object):
        facts = {
            "marker": f"own-{next(_numbers)}",
            "region_id": offer.region_id,
            "bid_micros_per_hour": offer.price_micros_per_hour if offer.spot else None,
            "platform_public_key": self.key.export_public_key().decode(),
            **changes,
        }
        return self.new_order(facts.pop("offer_id", offer.offer_id), **facts)

    def another(self, *, api_key: str | None = None) -> Provider:
        """Return a second adapter for the same cloud, perhaps with another key."""
        return adapter(self.name, self.sandbox, PATIENCE, api_key=api_key)

    async def offer(self, *, spot: bool = False) -> Offer:
        offers = [offer for offer in await self.cloud.list_offers() if offer.spot is spot]
        return min(offers, key=lambda offer: offer.price_micros_per_hour)

    async def hibernating_offer(self) -> Offer:
        """Return an offer of a machine that can hibernate, any where none can."""
        offers = [offer for offer in await self.cloud.list_offers() if offer.stopped_micros_per_hour is not None]
        return min(offers, key=lambda offer: offer.price_micros_per_hour, default=None) or await self.offer()

    async def run(self, machine: Machine, command: str) -> str:
        """Run a command on the machine and return what it prints."""
        where = machine.connection
        async with asyncssh.connect(
            where.host, where.port, username=where.username, client_keys=[self.key], known_hosts=None, config=None
        ) as ssh:
            return (await ssh.run(command, check=True)).stdout

    async def until(self, machine_id: str, status: MachineStatus) -> Machine:
        machine = await self.cloud.get_machine(machine_id)
        for _ in range(600):
            if machine.status is status:
                break
            await asyncio.sleep(0.05)
            machine = await self.cloud.get_machine(machine_id)
        assert machine.status is status
        return machine

    async def until_gone(self, machine_id: str) -> None:
        async with asyncio.timeout(30):
            while True:
                try:
                    await self.cloud.get_machine(machine_id)
                except Gone:
                    return
                await asyncio.sleep(0.05)

    def truth(self, machine_id: str) -> Truth:
        return next(truth for truth in self.sandbox.truth if truth.id == machine_id)

    def restock(self, machine_id: str) -> None:
        self.sandbox.change_offer(self.truth(machine_id).offer_id, "restore", stock=3)

    def made(self, marker: str) -> int:
        return sum(truth.marker == marker for truth in self.sandbox.truth)

    def count(self, operation: str) -> int:
        return sum(call[1] == operation for call in self.calls)


def adapter(name: str, sandbox: Sandbox, options: WireOptions, *, api_key: str | None = None) -> Provider:
    config = sandbox.config
    match name:
        case "vast":
            return VastProvider(api_key=api_key or config.vast_key, base_url=sandbox.url, options=options)
        case "lambda":
            return LambdaProvider(
                api_key=api_key or config.lambda_key, base_url=sandbox.url, options=options, ssh_port=config.ssh_port
            )
        case "runpod":
            return RunpodProvider(api_key=api_key or config.runpod_key, base_url=sandbox.url, options=options)
        case "hyperstack":
            return HyperstackProvider(
                api_key=api_key or config.hyperstack_key,
                base_url=f"{sandbox.url}/v1",
                options=options,
                ssh_port=config.ssh_port,
            )
        case "modal":  # what comes before its create, in a thread of its own, takes a second on a busy machine
            options = replace(options, total_seconds=3)
            return ModalProvider(
                token_id=config.modal_token_id,
                token_secret=api_key or config.modal_token_secret,
                server_url=sandbox.modal_url,
                options=options,
            )
        case "manual":
            return ManualProvider(
                sheet=sandbox.price_sheet,
                token=api_key or config.desk_token,
                base_url=f"{sandbox.url}/desk",
                options=options,
            )
    raise LookupError(name)


@pytest.fixture(scope="package")
async def sandbox() -> AsyncIterator[Sandbox]:
    config = SandboxConfig(boot_seconds=0.3, terminate_seconds=0.2, ssh_port=0, price_step_seconds=0)
    sandbox = await Sandbox.start(config)
    yield sandbox
    await sandbox.aclose()


@pytest.fixture(scope="package")
def platform_key() -> asyncssh.SSHKey:
    return asyncssh.generate_private_key("ssh-ed25519")


@pytest.fixture(params=CLOUDS)
async def scene(request, sandbox: Sandbox, order, platform_key) -> AsyncIterator[Scene]:
    calls: list[tuple[str, str, str]] = []
    options = replace(PATIENCE, on_call=lambda *facts: calls.append(facts[:3]))
    cloud = adapter(request.param, sandbox, options)
    yield Scene(request.param, cloud, sandbox, order, platform_key, calls)
    sandbox.faults.clear()
    if request.param == "modal":  # everything is always on offer there, what is sold out too
        sandbox.change_offer((await cloud.list_offers())[0].offer_id, "restore", stock=24)
    for machine in await cloud.list_machines("own-"):
        await cloud.destroy(machine.machine_id)
    await cloud.aclose()


@pytest.fixture
def vast_only(scene: Scene) -> Scene:
    if scene.name != "vast":
        pytest.skip("only Vast.ai has this")
    return scene


@pytest.fixture
def hibernating(scene: Scene) -> Scene:
    if not scene.cloud.capability.hibernate:
        pytest.skip("this cloud's machines don't hibernate")
    return scene
