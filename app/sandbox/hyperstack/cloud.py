"""Hyperstack on its own paths, below ``/v1``."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar, cast

from starlette.requests import Request
from starlette.routing import Route

from app.sandbox.answers import Refusal
from app.sandbox.clouds import Call, Cloud
from app.sandbox.gpus import gpu_facts
from app.sandbox.hyperstack import books
from app.sandbox.hyperstack.creating import Wanted, behaviour_of, read_rule, read_wanted
from app.sandbox.hyperstack.environments import Environments, KeyPair
from app.sandbox.hyperstack.errors import (
    already_exist,
    bad_request,
    hyperstack_error,
    not_found,
    out_of_stock,
)
from app.sandbox.hyperstack.images import image_groups, image_names
from app.sandbox.hyperstack.market import (
    REGIONS,
    Flavor,
    built_in_market,
    flavor_groups,
    price_rows,
    stock_rows,
)
from app.sandbox.hyperstack.paging import paged
from app.sandbox.hyperstack.power import Power, returning, take_address
from app.sandbox.hyperstack.virtual_machines import VirtualMachine, machine_row
from app.sandbox.limits import Pace
from app.sandbox.world import Steps, World

_PACE = Pace("hyperstack", 60, calls=500)
_REFUSALS = {
    "bad_json": (400, "bad_request", "The browser (or proxy) sent a request that this server could not understand."),
    "rate_limited": (429, "too_many_requests", "Too many requests."),
    "server_error": (500, "server_error", "Internal Server Error"),
    "unauthorized": (401, "unauthorized", "Unauthorized"),
    "no_credit": (400, "bad_request", "Insufficient balance to create the resource."),
}


class HyperstackCloud(Cloud):
    """Flavors, environments and machines of one Hyperstack account."""

    provider: ClassVar[str] = "hyperstack"

    def __init__(self, world: World, *, at: datetime) -> None:
        super().__init__(world)
        config = world.config
        self.market = built_in_market(seed=config.seed, steps=Steps(config.price_step_seconds, at=at))
        self.environments = Environments(in_use=self._inhabited)
        self._ids = itertools.count(400_001)
        self._power = Power(self, self._machine)

    def routes(self) -> list[Route]:
        """Return Hyperstack's paths."""
        core, machines = "/v1/core", "/v1/core/virtual-machines"
        one, history = f"{machines}/{{id:int}}", "/v1/billing/billing/history/virtual-machine"
        rows = [
            (f"{core}/flavors", "GET", "list_offers", self._flavors),
            ("/v1/pricebook", "GET", "list_offers", self._prices),
            (f"{core}/stocks", "GET", "list_offers", self._stocks),
            (f"{core}/regions", "GET", "account", self._regions),
            (f"{core}/images", "GET", "images", self._images),
            (f"{core}/environments", "GET", "list_environments", self.environments.list),
            (f"{core}/environments", "POST", "add_environment", self.environments.add),
            (f"{core}/environments/{{id:int}}", "DELETE", "account", self.environments.remove),
            (f"{core}/keypairs", "GET", "list_keys", self.environments.list_keys),
            (f"{core}/keypairs", "POST", "add_key", self.environments.add_key),
            (f"{core}/keypair/{{id:int}}", "DELETE", "remove_key", self.environments.remove_key),
            (machines, "GET", "list_machines", self._list),
            (machines, "POST", "create", self._create),
            (f"{machines}/name-availability/{{name}}", "GET", "account", self._is_free),
            (one, "GET", "get_machine", self._get),
            (f"{one}/label", "PUT", "label", self._label),
            (f"{one}/sg-rules", "POST", "account", self._add_rule),
            (history, "GET", "charges", self._history),
            (f"{history}/{{id:int}}", "GET", "charges", self._details),
            ("/v1/billing/billing/virtual-machine/{id:int}/billing-events", "GET", "charges", self._events),
        ]
        return [*(self.route(*row) for row in rows), *self._power.routes(one)]

    def admit(self, request: Request, operation: str) -> None:  # noqa: ARG002 - nothing here is open to all
        """Check the key, which has a header of its own."""
        if request.headers.get("api_key") != self.world.config.hyperstack_key:
            raise self.refusal("unauthorized")

    def paces(self, operation: str) -> tuple[Pace, ...]:  # noqa: ARG002 - one limit for everything
        """Return 500 calls a minute."""
        return (_PACE,)

    def refusal(self, kind: str, *, pace: Pace | None = None, status: int | None = None) -> Refusal:  # noqa: ARG002 - Hyperstack does not tell the pace
        """Return Hyperstack's words."""
        usual, reason, message = _REFUSALS[kind]
        return hyperstack_error(status or usual, reason, message)

    def offers(self, at: datetime) -> list[dict[str, object]]:
        """Return every flavor in every region with its stock."""
        return [
            {
                "provider": self.provider,
                "id": f"{flavor.name}:{flavor.region}",
                "gpu_name": flavor.gpu.gpu_name,
                "gpu_count": flavor.gpu_count,
                "price_micros_per_hour": flavor.micros_per_hour,
                "spot": flavor.gpu.spot,
                "hibernates": flavor.hibernates,
                "stock": flavor.stock,
            }
            for flavor in self.market.now(at)
        ]

    def change_offer(self, offer_id: str, deed: str, body: Mapping[str, Any]) -> bool:
        """``withdraw`` (no stock), ``restore`` (``stock``, or 1) or ``reprice`` (``micros`` a GPU, or 25 % more)."""
        name, _, region = offer_id.partition(":")
        flavor = self.market.find(name, region, self.world.clock.now())
        if flavor is None:
            return False
        match deed:
            case "withdraw":
                flavor.stock = 0
            case "restore":
                flavor.stock = int(body.get("stock", 1))
            case "reprice":
                flavor.gpu.micros_per_hour = int(body.get("micros", flavor.gpu.micros_per_hour * 5 // 4))
            case _:
                return False
        return True

    async def _flavors(self, call: Call) -> object:
        drained = self.strikes("offer_drained", call)
        wanted = call.query.get("region")
        flavors = [flavor for flavor in self.market.now(call.at) if wanted in {None, flavor.region}]
        return _done(data=flavor_groups([] if drained else flavors))

    async def _prices(self, call: Call) -> object:
        self.market.now(call.at)
        return price_rows(self.market.kinds.values())

    async def _stocks(self, call: Call) -> object:
        return _done(stocks=stock_rows(self.market.now(call.at)))

    async def _regions(self, call: Call) -> object:  # noqa: ARG002 - every handler takes the call
        rows = [
            {"id": number, "name": name, "description": place, "country": country, "features": {},
             "green_status": "GREEN"}
            for number, (name, (country, place)) in enumerate(REGIONS.items(), start=1)
        ]  # fmt: skip
        return _done(regions=rows)

    async def _images(self, call: Call) -> object:
        return _done(images=image_groups(call.query.get("region")))

    async def _list(self, call: Call) -> object:
        machines = cast("list[VirtualMachine]", self.late_listed(call, self.machines()))
        rows = [machine_row(machine, at=call.at) for machine in machines]
        wanted, environment = call.query.get("search", "").lower(), call.query.get("environment", "")
        found = [row for row in rows if wanted in row["name"].lower() and environment in row["environment"]["name"]]
        return paged("instances", found, call.query)

    async def _get(self, call: Call) -> object:
        return _done(instance=machine_row(self._machine(call), at=call.at))

    async def _create(self, call: Call) -> object:
        wanted = read_wanted(call.body)
        environment = self.environments.find(wanted.environment_name)
        key = self.environments.key(wanted.key_name, environment) if environment else None
        if environment is None or key is None:
            raise not_found(f"{'Environment' if environment is None else 'Keypair'} does not exist.")
        flavor = self.market.find(wanted.flavor_name, environment.region, call.at)
        if flavor is None or wanted.image_name not in image_names(environment.region):
            raise not_found(f"{'Flavor' if flavor is None else 'Image'} does not exist in this region.")
        if wanted.count != 1:
            raise bad_request("Only one virtual machine can be created at a time here.")
        if any(machine.alive and machine.marker == wanted.name for machine in self.machines()):
            raise already_exist(f"Virtual machine with name {wanted.name} already exists.")
        self._take(flavor, call)
        machine = self._new_machine(flavor, wanted, key, at=call.at)
        self.world.fleet.launch(machine, at=call.at)
        return _done(instances=[machine_row(machine, at=call.at)])

    def _take(self, flavor: Flavor, call: Call) -> None:
        """Take one machine from the stock, with whatever happened to it since it was listed."""
        trouble = self.strikes_offer(call)
        if trouble == "offer_drained":
            flavor.stock = 0
        if flavor.stock < 1 or trouble == "offer_gone":
            raise out_of_stock()
        if trouble == "price_changed":
            flavor.gpu.micros_per_hour = flavor.gpu.micros_per_hour * 5 // 4
        flavor.stock -= 1

    def _new_machine(self, flavor: Flavor, wanted: Wanted, key: KeyPair, *, at: datetime) -> VirtualMachine:
        machine = VirtualMachine(
            provider=self.provider,
            id=str(next(self._ids)),
            marker=wanted.name,
            offer_id=f"{flavor.name}:{flavor.region}",
            gpu=gpu_facts(flavor.gpu.gpu_name, flavor.gpu_count, flavor.gpu.vram_mib),
            price_micros_per_hour=flavor.micros_per_hour,
            created_at=at,
            boot_seconds=self.world.config.boot_seconds,
            username="ubuntu",
            address=take_address(self.world),
            port=self.world.config.ssh_port,
            spot=flavor.gpu.spot,
            keys=[key.public_key],
            behaviour=behaviour_of(wanted.rules, floating=wanted.floating, randomized=wanted.randomized),
            flavor=flavor,
            environment=key.environment,
            key_name=key.name,
            image_name=wanted.image_name,
            labels=wanted.labels,
            rules=wanted.rules,
            floating=wanted.floating,
            randomized=wanted.randomized,
        )
        machine.release = returning(machine)
        return machine

    async def _is_free(self, call: Call) -> object:
        name = str(call.path["name"])
        free = not any(machine.alive and machine.marker == name for machine in self.machines())
        return {"available": free, "name": name, "message": "Success"}

    async def _label(self, call: Call) -> object:
        machine, labels = self._machine(call), call.body.get("labels")
        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
            raise bad_request("labels must be texts.")
        machine.labels = labels
        return _done()

    async def _add_rule(self, call: Call) -> object:
        self._machine(call).rules.append(rule := read_rule(call.body))
        return _done(security_rule=rule)

    async def _history(self, call: Call) -> object:
        return books.history(cast("list[VirtualMachine]", self.machines()), call.query, until=self._booked_until(call))

    async def _details(self, call: Call) -> object:
        return books.details(self._booked(call), call.query, until=self._booked_until(call))

    async def _events(self, call: Call) -> object:
        return books.events(self._booked(call), until=self._booked_until(call))

    def _booked_until(self, call: Call) -> datetime:
        return call.at - timedelta(seconds=self.world.config.charges_lag_seconds)

    def _booked(self, call: Call) -> VirtualMachine:
        machine = self.world.fleet.find(str(call.path["id"]))
        if not isinstance(machine, VirtualMachine):
            raise not_found("Virtual machine does not exist.")
        return machine

    def _machine(self, call: Call) -> VirtualMachine:
        machine = self.world.fleet.find(str(call.path["id"]))
        if not isinstance(machine, VirtualMachine) or not machine.alive or not machine.found(call.at):
            raise not_found("Virtual machine does not exist.")
        return machine

    def _inhabited(self, environment: str) -> bool:
        machines = cast("list[VirtualMachine]", self.machines())
        return any(machine.alive and machine.environment.name == environment for machine in machines)


def _done(**more: object) -> dict[str, object]:
    return {"status": True, "message": "Success", **more}
