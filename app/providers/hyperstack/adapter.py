"""Hyperstack as a ``Provider``.

- Our marker is the machine's name, which is unique at the cloud: a create whose name is taken has happened already,
  and the machine of that name is the one.
- A machine lives in an environment, which pins its region and holds its SSH keys; both are made when first needed.
- All inbound traffic is closed but for the rules sent with the create. Ports keep their numbers (the cloud would move
  them about otherwise, and not say where), and the machine gets a public address of its own.
- Stopped is billed in full; hibernated costs the root disk alone. What lies on the ephemeral disk is lost, the address
  changes, and a restore may find the GPU taken. ``Offer.stopped_micros_per_hour`` is None where a flavor can't.
- An instance is a whole machine: a container's image boots the newest Ubuntu with CUDA and Docker, any other image
  names a system. Variables are exported to login shells.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

import httpx

from app.kit.clock import whole_seconds
from app.providers.cloud_init import user_data
from app.providers.contract import Capability, CostLine, Machine, MachineStatus, Offer, Order, RealisedCost
from app.providers.errors import Gone, NoCapacity, NotYet, OutcomeUnknown, ProviderError, Rejected
from app.providers.hyperstack.client import HyperstackClient
from app.providers.hyperstack.environments import Environments
from app.providers.hyperstack.images import choose_image, image_names
from app.providers.hyperstack.market import flavors_of, parse_offer, parse_prices, parse_stocks, split_offer_id
from app.providers.hyperstack.parsing import (
    Booked,
    EnvironmentKey,
    cost_line,
    marker_of,
    parse_booked,
    parse_created,
    parse_machine,
)
from app.providers.hyperstack.refusals import AlreadyExists
from app.providers.keys import parse_public_key
from app.providers.offers import parse_offers
from app.providers.orders import check_order
from app.providers.wire import WireOptions

BASE_URL = "https://infrahub-api.nexgencloud.com/v1"
_SSH_PORT = 22
_FIRST_REGION = "CANADA-1"
_IMAGES_REMEMBERED_SECONDS = 600.0
_MINUTES_PER_HOUR = 60
_SECONDS_PER_MINUTE = 60


class HyperstackProvider:
    """One Hyperstack account."""

    capability = Capability(
        name="hyperstack",
        title="Hyperstack",
        pricing="api",
        launch="instance",
        shutdown="stop",
        spot=True,
        interruption="reclaim",
        hibernate=True,
        stop=True,
        billing_granularity_seconds=60,
        min_commitment_seconds=0,
        marker_max_length=50,
        realised_cost="exact",
    )

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str = BASE_URL,
        client: httpx.AsyncClient | None = None,
        options: WireOptions | None = None,
        ssh_port: int = _SSH_PORT,
    ) -> None:
        """Speak with the cloud at ``base_url`` (with ``/v1``); a client that is given stays the caller's to close."""
        self._client = HyperstackClient(
            base_url=base_url, api_key=api_key, client=client, options=options or WireOptions()
        )
        self._environments = Environments(self._client)
        self._ssh_port = ssh_port
        self._images: dict[str, tuple[list[str], float]] = {}

    async def list_offers(self) -> list[Offer]:
        """Return each flavor in each region that has some: advice only, a create may be refused all the same."""
        prices = await self._client.prices(parse_prices)
        stocks = await self._client.stocks(parse_stocks)
        return await self._client.flavors(
            lambda groups: parse_offers(
                flavors_of(groups), lambda flavor: parse_offer(flavor, prices, stocks), provider="hyperstack"
            )
        )

    async def create(self, order: Order) -> str:
        """Create one machine, having made sure of an environment, the platform's key and an image in its region."""
        check_order(order, self.capability)
        key = parse_public_key(order.platform_public_key)
        parts = split_offer_id(order.offer_id)
        if parts is None:
            raise NoCapacity("no such offer")
        flavor, region = parts
        environment = await self._environments.ensure(region)
        stored = await self._environments.keyring(environment).ensure_for_create(key)
        body = {
            "name": order.marker,
            "environment_name": environment,
            "image_name": choose_image(await self._image_names(region), order.image),
            "flavor_name": flavor,
            "key_name": stored.name,
            "count": 1,
            "assign_floating_ip": True,
            "enable_port_randomization": False,
            "labels": [order.marker],
            "security_rules": [_opened(port) for port in sorted({_SSH_PORT, *order.ports})],
            **user_data(order.env),
        }
        try:
            return await self._client.create(body, parse_created)
        except AlreadyExists as error:
            return await self._adopt(order.marker, error)
        except Rejected:
            self._environments.forget()  # an environment, key or image may have been removed since we looked
            self._images.clear()
            raise

    async def find_by_marker(self, marker: str) -> Machine | None:
        """Return the machine of this name, one that lives if there is any."""
        found = await self._machines("find_by_marker", lambda its: its == marker, search=marker)
        return min(found, key=lambda machine: machine.status is MachineStatus.DELETING, default=None)

    async def list_machines(self, marker_prefix: str) -> list[Machine]:
        """Return every machine whose name starts so."""
        found = await self._machines("list_machines", lambda its: its.startswith(marker_prefix))
        return list({machine.machine_id: machine for machine in found}.values())

    async def get_machine(self, machine_id: str) -> Machine:
        """Return one machine."""
        machine = await self._client.machine(machine_id, self._parse)
        if machine.status is MachineStatus.GONE:
            raise Gone("the machine is deleted")
        return machine

    async def stop(self, machine_id: str) -> None:
        """Shut the machine down. It keeps its GPU and costs as before."""
        await self._client.power("stop", machine_id, "stop")

    async def hibernate(self, machine_id: str) -> None:
        """Save the machine's root disk and free its GPU."""
        await self._client.power("hibernate", machine_id, "hibernate")

    async def resume(self, machine_id: str) -> None:
        """Start a machine that is shut down or restore one that hibernates; one that does either already is left so."""
        machine = await self.get_machine(machine_id)
        match machine.status:
            case MachineStatus.STOPPED:
                await self._client.power("resume", machine_id, "start")
            case MachineStatus.HIBERNATED:
                await self._client.power("resume", machine_id, "hibernate-restore")
            case MachineStatus.RUNNING | MachineStatus.PROVISIONING:
                return
            case MachineStatus.DELETING:
                raise Gone("the machine is being deleted")
            case _:
                raise NotYet(f"the machine is {machine.status_message}")

    async def destroy(self, machine_id: str) -> None:
        """Ask for the machine's end."""
        try:
            await self._client.delete(machine_id)
        except Gone:
            return
        except NotYet:  # said also of one whose end has begun
            if not await self._ends(machine_id):
                raise

    async def ensure_ssh_key(self, name: str, public_key: str) -> str:
        """Return the id of this key in any environment, else add it where machines of the first region will be."""
        key = parse_public_key(public_key)
        known = next((one for one in await self._environments.keys("ensure_ssh_key") if one.key == key), None)
        if known is not None:
            return known.key_id
        environment = await self._environments.ensure(_FIRST_REGION)
        return (await self._environments.keyring(environment).ensure(name, key)).key_id

    async def remove_ssh_key(self, key_id: str) -> None:
        """Remove a key from every environment that has it."""
        self._environments.forget()
        keys: list[EnvironmentKey] = []
        with suppress(Gone):
            keys = await self._environments.keys("remove_ssh_key")
        material = {one.key for one in keys if one.key_id == key_id}
        for one in keys:
            if one.key in material:
                with suppress(Gone):
                    await self._client.delete_key(one.key_id)

    async def realised_cost(
        self, machine_id: str, *, start: datetime, end: datetime, price_micros_per_hour: int
    ) -> RealisedCost:
        """Return what the cloud's books say: final once they know that the machine has ended.

        Until then the larger of books and begun minutes at the price.
        """
        booked = await self._booked(machine_id, start=start, end=end)
        if booked is not None and booked.ended:
            return RealisedCost(booked.micros, exact=True)
        minutes = -(-whole_seconds(start, end) // _SECONDS_PER_MINUTE)
        metered = -(-price_micros_per_hour * minutes // _MINUTES_PER_HOUR)
        return RealisedCost(max(booked.micros if booked else 0, metered), exact=False)

    async def list_costs(self, *, start: datetime, end: datetime) -> list[CostLine]:
        """Return what the books say of every machine within a period."""
        return await self._client.history("list_costs", cost_line, start=start, end=end)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _machines(self, operation: str, wanted: Callable[[str], bool], *, search: str = "") -> list[Machine]:
        def row(value: object) -> Machine | None:
            marker = marker_of(value)
            return self._parse(value) if marker and wanted(marker) else None

        found = await self._client.machines(operation, row, search=search)
        return [machine for machine in found if machine.status is not MachineStatus.GONE]

    def _parse(self, value: object) -> Machine:
        return parse_machine(value, ssh_port=self._ssh_port)

    async def _adopt(self, marker: str, error: AlreadyExists) -> str:
        """Return the machine that has the name already: an earlier create of the same order made it."""
        try:
            machine = await self.find_by_marker(marker)
        except ProviderError as doubt:
            raise OutcomeUnknown(doubt.message) from doubt
        if machine is None or machine.status is MachineStatus.DELETING:
            raise OutcomeUnknown(error.message, machine_id=machine.machine_id if machine else None)
        return machine.machine_id

    async def _ends(self, machine_id: str) -> bool:
        try:
            return (await self.get_machine(machine_id)).status is MachineStatus.DELETING
        except Gone:
            return True

    async def _image_names(self, region: str) -> list[str]:
        names, until = self._images.get(region, ([], 0.0))
        if not names or time.monotonic() >= until:
            names = await self._client.images(region, image_names)
            self._images[region] = names, time.monotonic() + _IMAGES_REMEMBERED_SECONDS
        return names

    async def _booked(self, machine_id: str, *, start: datetime, end: datetime) -> Booked | None:
        """Find a machine in the books: by its name, which the row about this one machine tells."""
        alone = await self._client.machine_history(machine_id, parse_booked, start=start, end=end)
        if alone is None or alone.machine_name is None:
            return alone
        rows = await self._client.history(
            "realised_cost", parse_booked, start=start, end=end, search=alone.machine_name
        )
        return next((row for row in rows if row.machine_id == machine_id), alone)


def _opened(port: int) -> dict[str, object]:
    """Return the rule that lets the world reach a port."""
    return {
        "direction": "ingress",
        "ethertype": "IPv4",
        "protocol": "tcp",
        "remote_ip_prefix": "0.0.0.0/0",
        "port_range_min": port,
        "port_range_max": port,
    }
