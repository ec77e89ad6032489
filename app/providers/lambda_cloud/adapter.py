"""Lambda as a ``Provider``.

- Our marker is the instance's name and a tag.
- A launch names exactly one key of the account, so the platform's key is made sure of first.
- An instance is a whole machine, not a container: an image without ``/`` and ``:`` names an image family, any other
  image is a container's and boots the cloud's own default, which has the driver and Docker. Variables are exported to
  login shells. Which ports are open is up to the account's firewall rules.
- There are no books to ask: the realised cost is active minutes times price, an estimate.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

import httpx

from app.kit.clock import whole_seconds
from app.providers.cloud_init import user_data
from app.providers.contract import Capability, CostLine, Machine, MachineStatus, Offer, Order, RealisedCost
from app.providers.errors import Gone, NoCapacity, Rejected, Unsupported
from app.providers.keyring import Keyring, StoredKey
from app.providers.keys import PublicKey, parse_public_key
from app.providers.lambda_cloud.client import LambdaClient
from app.providers.lambda_cloud.parsing import (
    MARKER_TAG,
    SEPARATOR,
    marker_of,
    parse_key,
    parse_launch,
    parse_machine,
    parse_offer,
    stocks,
)
from app.providers.offers import parse_offers
from app.providers.orders import check_order
from app.providers.reading import Malformed
from app.providers.wire import WireOptions

BASE_URL = "https://cloud.lambda.ai"
_MINUTES_PER_HOUR = 60
_SECONDS_PER_MINUTE = 60


class LambdaProvider:
    """One Lambda account."""

    capability = Capability(
        name="lambda",
        title="Lambda",
        pricing="api",
        launch="instance",
        shutdown="destroy",
        spot=False,
        interruption="none",
        hibernate=False,
        stop=False,
        billing_granularity_seconds=60,
        min_commitment_seconds=0,
        marker_max_length=64,
        realised_cost="estimate",
    )

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str = BASE_URL,
        client: httpx.AsyncClient | None = None,
        options: WireOptions | None = None,
        ssh_port: int = 22,
    ) -> None:
        """Speak with the cloud at ``base_url`` (without ``/api/v1``); a given client stays the caller's to close."""
        self._client = LambdaClient(base_url=base_url, api_key=api_key, client=client, options=options or WireOptions())
        self._keyring = Keyring(self._stored_keys, self._add_key)
        self._ssh_port = ssh_port

    async def list_offers(self) -> list[Offer]:
        """Return each type in each region that has some: advice only, a launch may be refused all the same."""
        return await self._client.instance_types(
            lambda types: parse_offers(stocks(types), parse_offer, provider="lambda")
        )

    async def create(self, order: Order) -> str:
        """Launch one instance, having made sure that the account holds the platform's key."""
        check_order(order, self.capability)
        type_name, separator, region_name = order.offer_id.partition(SEPARATOR)
        if not separator:
            raise NoCapacity("no such offer")
        key = await self._keyring.ensure_for_create(parse_public_key(order.platform_public_key))
        body = {
            "region_name": region_name,
            "instance_type_name": type_name,
            "ssh_key_names": [key.name],
            "name": order.marker,
            "tags": [{"key": MARKER_TAG, "value": order.marker}],
            **_image(order.image),
            **user_data(order.env),
        }
        try:
            return await self._client.launch(body, parse_launch)
        except Rejected:
            self._keyring.forget()  # the key may have been removed there since we looked
            raise

    async def find_by_marker(self, marker: str) -> Machine | None:
        """Return the instance with this marker, one that lives if there is any."""
        found = await self._machines("find_by_marker", lambda its: its == marker)
        return min(found, key=lambda machine: machine.status is MachineStatus.DELETING, default=None)

    async def list_machines(self, marker_prefix: str) -> list[Machine]:
        """Return every instance whose marker starts so. Lambda lists all on one page."""
        return await self._machines("list_machines", lambda its: its.startswith(marker_prefix))

    async def get_machine(self, machine_id: str) -> Machine:
        """Return one instance."""
        machine = await self._client.instance(machine_id, self._parse)
        if machine.status is MachineStatus.GONE:
            raise Gone("the instance is terminated")
        return machine

    async def stop(self, machine_id: str) -> None:  # noqa: ARG002 - the contract's
        """Lambda can't."""
        raise Unsupported("Lambda does not stop instances")

    async def hibernate(self, machine_id: str) -> None:  # noqa: ARG002 - the contract's
        """Lambda can't."""
        raise Unsupported("Lambda does not hibernate instances")

    async def resume(self, machine_id: str) -> None:  # noqa: ARG002 - the contract's
        """Lambda can't."""
        raise Unsupported("Lambda does not resume instances")

    async def destroy(self, machine_id: str) -> None:
        """Ask for the instance's end."""
        with suppress(Gone):
            await self._client.terminate(machine_id)

    async def ensure_ssh_key(self, name: str, public_key: str) -> str:
        """Add an account key under this name, unless its material is there under any."""
        return (await self._keyring.ensure(name, parse_public_key(public_key))).key_id

    async def remove_ssh_key(self, key_id: str) -> None:
        """Remove an account key."""
        self._keyring.forget(key_id)
        with suppress(Gone):
            await self._client.delete_key(key_id)

    async def realised_cost(
        self,
        machine_id: str,  # noqa: ARG002 - the contract's
        *,
        start: datetime,
        end: datetime,
        price_micros_per_hour: int,
    ) -> RealisedCost:
        """Return active minutes, each begun one counted, times the price."""
        minutes = -(-whole_seconds(start, end) // _SECONDS_PER_MINUTE)
        return RealisedCost(-(-price_micros_per_hour * minutes // _MINUTES_PER_HOUR), exact=False)

    async def list_costs(self, *, start: datetime, end: datetime) -> list[CostLine]:  # noqa: ARG002 - the contract's
        """Lambda has no such books."""
        raise Unsupported("Lambda tells no costs")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _machines(self, operation: str, wanted: Callable[[str], bool]) -> list[Machine]:
        def row(value: object) -> Machine | None:
            marker = marker_of(value)
            return self._parse(value) if marker and wanted(marker) else None

        found = await self._client.instances(operation, row)
        return [machine for machine in found if machine.status is not MachineStatus.GONE]

    def _parse(self, value: object) -> Machine:
        return parse_machine(value, ssh_port=self._ssh_port)

    async def _stored_keys(self) -> list[StoredKey]:
        return await self._client.keys(parse_key)

    async def _add_key(self, name: str, key: PublicKey) -> StoredKey:
        return await self._client.add_key(name, key.line, _added)


def _added(data: object) -> StoredKey:
    stored = parse_key(data)
    if stored is None:
        raise Malformed("the key that was added is told as another kind")
    return stored


def _image(image: str) -> dict[str, object]:
    return {} if "/" in image or ":" in image else {"image": {"family": image}}
