"""Modal as a ``Provider``.

- A machine is a sandbox of one app, the deployment's own. Our marker is its name, which is unique among the app's
  living sandboxes, and a tag. So a create that is repeated by mistake finds the first one instead of making a second.
- What is on offer is a table; there is no list to ask. The workspace's rates are asked at every poll all the same: they
  show that the cloud answers and our token counts, and a price that has moved is told to the operator.
- The container runs an SSH server that takes the platform's key alone, handed over as a variable.
- A sandbox ends by itself after a day. One that has ended costs nothing and keeps its result for ever: it is reported
  as failed or preempted until it is destroyed, and gone from then on.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal

import structlog

from app.kit.clock import whole_seconds
from app.kit.money import cost, from_price
from app.providers.contract import Capability, CostLine, Machine, MachineStatus, Offer, Order, RealisedCost
from app.providers.errors import Gone, NoCapacity, Rejected, Unavailable, Unsupported
from app.providers.keys import parse_public_key
from app.providers.modal_cloud.client import ModalClient
from app.providers.modal_cloud.facts import Facts, Spec
from app.providers.modal_cloud.parsing import MARKER_TAG, SSH_PORT, maybe_marker, parse_machine
from app.providers.modal_cloud.prices import DISK_GB_MAX, Shape, differences, find_shape, offer_of, shapes
from app.providers.modal_cloud.sdk import Sdk
from app.providers.modal_cloud.sshd import BUILD_LINES, COMMAND, KEY_VARIABLE
from app.providers.orders import check_order
from app.providers.reading import Malformed
from app.providers.wire import WireOptions

SERVER_URL = "https://api.modal.com"
MACHINE_SECONDS_MAX = 86_400
_BOOKS_LAG = timedelta(minutes=5)
_DESTROYED_MAX = 10_000
_log = structlog.get_logger()


class ModalProvider:
    """One app in one Modal workspace."""

    capability = Capability(
        name="modal",
        title="Modal",
        pricing="api",
        launch="instance",
        shutdown="destroy",
        spot=False,
        interruption="timeout",
        hibernate=False,
        stop=False,
        billing_granularity_seconds=1,
        min_commitment_seconds=0,
        marker_max_length=63,
        realised_cost="exact",
        machine_seconds_max=MACHINE_SECONDS_MAX,
    )

    def __init__(
        self,
        *,
        token_id: str,
        token_secret: str,
        server_url: str = SERVER_URL,
        options: WireOptions | None = None,
        app_name: str = "hourglass",
        client: ModalClient | None = None,
    ) -> None:
        """Speak with the cloud at ``server_url``. ``app_name`` is this deployment's own in the workspace."""
        options = options or WireOptions()
        self._client = client or ModalClient(
            Sdk(token=(token_id, token_secret), server_url=server_url.rstrip("/"), app_name=app_name, options=options),
            options=options,
        )
        self._destroyed: OrderedDict[str, None] = OrderedDict()
        self._told: set[tuple[str, int]] = set()

    async def list_offers(self) -> list[Offer]:
        """Return the table, once the cloud has told its rates."""
        self._compare(await self._client.rates())
        return [offer_of(shape) for shape in shapes()]

    async def create(self, order: Order) -> str:
        """Make one sandbox."""
        check_order(order, self.capability)
        shape = find_shape(order.offer_id)
        if shape is None:
            raise NoCapacity("no such offer")
        if order.disk_gb > DISK_GB_MAX:
            raise Rejected(f"a disk has at most {DISK_GB_MAX} GB")
        return await self._client.create(_spec(order, shape))

    async def find_by_marker(self, marker: str) -> Machine | None:
        """Return the sandbox with this tag, one that lives if there is any, else one that failed."""
        rows = await self._client.sandboxes("find_by_marker", tags={MARKER_TAG: marker}, finished=True)
        found = [machine for machine in self._parsed(rows) if machine.marker == marker]
        ended = (MachineStatus.FAILED, MachineStatus.PREEMPTED)
        return min(found, key=lambda machine: machine.status in ended, default=None)

    async def list_machines(self, marker_prefix: str) -> list[Machine]:
        """Return every living sandbox whose marker starts so."""
        rows = await self._client.sandboxes("list_machines", tags={})
        return [machine for machine in self._parsed(rows) if (machine.marker or "").startswith(marker_prefix)]

    async def get_machine(self, machine_id: str) -> Machine:
        """Return one sandbox."""
        facts = await self._client.get(machine_id)
        try:
            machine = parse_machine(facts, destroyed=machine_id in self._destroyed)
        except Malformed as malformed:
            raise Unavailable(f"an answer of another shape: {malformed}") from malformed
        if machine.status is MachineStatus.GONE:
            raise Gone("the sandbox has ended")
        return machine

    async def stop(self, machine_id: str) -> None:  # noqa: ARG002 - the contract's
        """Modal can't."""
        raise Unsupported("Modal does not stop sandboxes")

    async def hibernate(self, machine_id: str) -> None:  # noqa: ARG002 - the contract's
        """Modal can't."""
        raise Unsupported("Modal does not hibernate sandboxes")

    async def resume(self, machine_id: str) -> None:  # noqa: ARG002 - the contract's
        """Modal can't."""
        raise Unsupported("Modal does not resume sandboxes")

    async def destroy(self, machine_id: str) -> None:
        """End the sandbox."""
        with suppress(Gone):
            await self._client.terminate(machine_id)
        self._destroyed[machine_id] = None
        if len(self._destroyed) > _DESTROYED_MAX:
            self._destroyed.popitem(last=False)

    async def ensure_ssh_key(self, name: str, public_key: str) -> str:  # noqa: ARG002 - the contract's
        """Return the key's own name: the workspace keeps no keys, each sandbox is given the platform's."""
        return parse_public_key(public_key).name

    async def remove_ssh_key(self, key_id: str) -> None:
        """There is nothing to remove."""

    async def realised_cost(
        self, machine_id: str, *, start: datetime, end: datetime, price_micros_per_hour: int
    ) -> RealisedCost:
        """Return what the cloud's books say. They lag: until they reach the end, the larger of books and meter."""
        metered = cost(price_micros_per_hour, whole_seconds(start, end))
        try:
            spent = await self._client.spent(machine_id, start=start, end=end)
        except Gone:
            spent = None
        if spent is None:
            return RealisedCost(metered, exact=False)
        booked = _micros(spent.dollars)
        if end - start - timedelta(seconds=spent.seconds) <= _BOOKS_LAG:
            return RealisedCost(booked, exact=True)
        return RealisedCost(max(booked, metered), exact=False)

    async def list_costs(self, *, start: datetime, end: datetime) -> list[CostLine]:
        """Return a line for each sandbox of our app and one for each other app, by the app's id."""
        costs = await self._client.costs(start=start, end=end)
        lines = [
            CostLine(facts.sandbox_id, maybe_marker(facts), _micros(spent.dollars)) for facts, spent in costs.sandboxes
        ]
        others: dict[str, Decimal] = {}
        for app in costs.others:
            others[app.app_id] = others.get(app.app_id, Decimal(0)) + app.dollars
        return lines + [CostLine(app_id, None, _micros(dollars)) for app_id, dollars in others.items()]

    async def aclose(self) -> None:
        """Close the connection."""
        await self._client.aclose()

    def _parsed(self, rows: list[Facts]) -> list[Machine]:
        machines = {}
        for facts in rows:
            try:
                machine = parse_machine(facts, destroyed=facts.sandbox_id in self._destroyed)
            except Malformed as malformed:
                raise Unavailable(f"an answer of another shape: {malformed}") from malformed
            if machine.status is not MachineStatus.GONE:
                machines[machine.machine_id] = machine
        return list(machines.values())

    def _compare(self, rates: dict[str, Decimal]) -> None:
        """Log each price that the workspace has otherwise, once."""
        for difference in differences(rates):
            if (difference.gpu, difference.theirs) not in self._told:
                self._told.add((difference.gpu, difference.theirs))
                _log.warning(
                    "price_differs",
                    provider="modal",
                    gpu=difference.gpu,
                    ours_micros_per_hour=difference.ours,
                    theirs_micros_per_hour=difference.theirs,
                )


def _spec(order: Order, shape: Shape) -> Spec:
    return Spec(
        name=order.marker,
        tags={MARKER_TAG: order.marker},
        image=order.image,
        build_lines=BUILD_LINES,
        command=COMMAND,
        env={**order.env, KEY_VARIABLE: parse_public_key(order.platform_public_key).line},
        gpu=shape.offer_id,
        cores=shape.cores,
        ram_mib=shape.ram_mib,
        ports=tuple(dict.fromkeys((SSH_PORT, *order.ports))),
        timeout_seconds=MACHINE_SECONDS_MAX,
    )


def _micros(dollars: Decimal) -> int:
    try:
        return from_price(max(Decimal(0), dollars))
    except ValueError as error:
        raise Unavailable("charges beyond all bounds") from error
