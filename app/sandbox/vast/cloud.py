"""Vast.ai on its own paths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

from starlette.requests import Request
from starlette.routing import Route

from app.sandbox.answers import Refusal, dollars_number
from app.sandbox.clouds import Call, Cloud
from app.sandbox.limits import Pace
from app.sandbox.machines import Stage
from app.sandbox.vast.charges import charges_page
from app.sandbox.vast.instances import Instances
from app.sandbox.vast.keys import KeyRing
from app.sandbox.vast.market import built_in_slabs, read_slabs
from app.sandbox.vast.offers import OfferBook, offer_row
from app.sandbox.vast.renting import invalid_price, new_contract, no_such_ask, read_wanted, take
from app.sandbox.vast.search import ids_in, number, select
from app.sandbox.world import Steps, World

_CREDIT_MICROS = 1_000_000_000
_PACES = {
    "list_offers": Pace("search", 60, calls=10),
    "create": Pace("create", 4.5, penalty_seconds=12),
    "get_machine": Pace("show", 2),
    "list_machines": Pace("show", 2),
    "destroy": Pace("destroy", 3),
    "change_bid": Pace("bid", 5.5),
    "charges": Pace("charges", 1),
}
_MANAGE = Pace("manage", 1)
_REFUSALS: dict[str, tuple[int, str, str]] = {
    "bad_json": (400, "invalid_args", "The body is not a JSON object."),
    "server_error": (500, "internal_error", "Internal server error."),
    "unauthorized": (401, "auth_error", "Invalid user key"),
    "no_credit": (400, "missing_billing", "Your account lacks credit; see billing page."),
}


class VastCloud(Cloud):
    """Offers, contracts, keys and books of one Vast account."""

    provider: ClassVar[str] = "vast"

    def __init__(self, world: World, *, at: datetime) -> None:
        super().__init__(world)
        config = world.config
        slabs = read_slabs(config.market / "vast-offers.csv") if config.market else built_in_slabs()
        self.book = OfferBook(slabs, seed=config.seed, steps=Steps(config.price_step_seconds, at=at))
        self.keys = KeyRing()
        self.instances = Instances(self, self.keys)
        self._ids = _contract_ids(world)

    def routes(self) -> list[Route]:
        """Return Vast's paths, trailing slashes as they must be."""
        keys, v0 = self.keys, "/api/v0"
        return [
            self.route(f"{v0}/bundles/", "POST", "list_offers", self._search),
            self.route(f"{v0}/search/asks/", "PUT", "list_offers", self._search_asks),
            self.route(f"{v0}/asks/bulk/", "POST", "create", self._create_bulk),
            self.route(f"{v0}/asks/{{id:int}}/", "PUT", "create", self._create),
            self.route(f"{v0}/launch_instance/", "PUT", "create", self._launch),
            *self.instances.routes(),
            self.route(f"{v0}/ssh/", "POST", "add_key", keys.add),
            self.route(f"{v0}/ssh/", "GET", "list_keys", keys.list),
            self.route(f"{v0}/ssh/{{id:int}}/", "PUT", "add_key", keys.change),
            self.route(f"{v0}/ssh/{{id:int}}/", "DELETE", "remove_key", keys.remove),
            self.route(f"{v0}/charges/", "GET", "charges", self._charges),
            self.route("/api/v1/invoices/", "GET", "charges", self._invoices),
            self.route(f"{v0}/users/current", "GET", "account", self._account),
            self.route(f"{v0}/users/current/", "GET", "account", self._account),
            self.route(f"{v0}/gpu_names/unique/", "GET", "list_offers", self._gpu_names),
        ]

    def admit(self, request: Request, operation: str) -> None:
        """Check the bearer key or ``?api_key=``; searching works without."""
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        key = key if scheme.lower() == "bearer" else request.query_params.get("api_key", "")
        if key == self.world.config.vast_key or (not key and operation == "list_offers"):
            return
        if not key:
            body = {"success": False, "error": "auth_error", "msg": "This action requires login."}
            raise Refusal(403, body)
        raise self.refusal("unauthorized", status=404)

    def paces(self, operation: str) -> tuple[Pace, ...]:
        """Return the minimum interval of an endpoint."""
        return (_PACES.get(operation, _MANAGE),)

    def refusal(self, kind: str, *, pace: Pace | None = None, status: int | None = None) -> Refusal:
        """Return Vast's words: plain text for too many calls, JSON for all else."""
        if kind == "rate_limited":
            seconds = float(pace.seconds) if pace else 2.0
            return Refusal(status or 429, f"API requests too frequent endpoint threshold={seconds}")
        usual, error, message = _REFUSALS[kind]
        return Refusal(status or usual, {"success": False, "error": error, "msg": message})

    def offers(self, at: datetime) -> list[dict[str, object]]:
        """Return every offer with what holds it."""
        return [
            {
                "provider": self.provider,
                "id": str(offer.id),
                "gpu_name": offer.slab.gpu_name,
                "gpu_count": offer.slab.num_gpus,
                "price_micros_per_hour": offer.base_micros,
                "bid_floor_micros_per_hour": offer.min_bid_micros,
                "taken_by": offer.taken_by,
                "withdrawn": offer.withdrawn,
            }
            for offer in self.book.all(at)
        ]

    def change_offer(self, offer_id: str, deed: str, body: Mapping[str, Any]) -> bool:
        """``withdraw``, ``restore`` or ``reprice`` by a ``factor``."""
        offer = self.book.find(int(offer_id), self.world.clock.now()) if offer_id.isdecimal() else None
        if offer is None or deed not in {"withdraw", "restore", "reprice"}:
            return False
        if deed == "reprice":
            offer.reprice(Decimal(str(body.get("factor", "1.25"))))
        else:
            offer.withdrawn = deed == "withdraw"
        return True

    async def _search(self, call: Call) -> object:
        return {"offers": self._found(call, call.body)}

    async def _search_asks(self, call: Call) -> object:
        query = call.body.get("q")
        return {"success": True, "offers": self._found(call, query if isinstance(query, dict) else {})}

    def _found(self, call: Call, query: dict[str, Any]) -> list[dict[str, Any]]:
        disk = number(query.get("allocated_storage")) or Decimal(0)
        bid = query.get("type") in {"bid", "interruptible"}
        if self.strikes("offer_drained", call):
            return []
        free = [offer for offer in self.book.all(call.at) if offer.rentable]
        return select((offer_row(offer, bid=bid, disk_gb=disk, at=call.at) for offer in free), query)

    async def _create(self, call: Call) -> object:
        return self._rent(int(call.path["id"]), call)

    async def _create_bulk(self, call: Call) -> object:
        contracts = []
        for ask_id in ids_in(call.body, "ids"):
            try:
                contracts.append({**self._rent(ask_id, call), "ask_id": ask_id})
            except Refusal as refusal:
                contracts.append(refusal.body if isinstance(refusal.body, dict) else {"success": False})
        return {"success": True, "results": contracts}

    async def _launch(self, call: Call) -> object:
        query = call.body.get("q")
        found = self._found(call, query if isinstance(query, dict) else {})
        if not found:
            raise no_such_ask(0, known=True)
        return self._rent(found[0]["id"], call)

    def _rent(self, ask_id: int, call: Call) -> dict[str, Any]:
        """Rent one offer, with whatever happens to it between the search and now."""
        wanted = read_wanted(call.body, ask_id=ask_id)
        offer = self.book.find(ask_id, call.at)
        trouble = self.strikes_offer(call)
        if offer and trouble == "offer_drained":
            offer.withdrawn = True
        if offer is None or not offer.rentable or trouble == "offer_gone":
            raise no_such_ask(ask_id, known=offer is not None)
        if wanted.disk_gb > offer.facts["disk_space"]:
            raise no_such_ask(ask_id, known=True)
        if trouble == "price_changed":
            offer.reprice(Decimal("1.25"))
        contract = new_contract(
            next(self._ids), offer, wanted, keys=self.keys.texts(), boot_seconds=self.world.config.boot_seconds,
            at=call.at,
        )  # fmt: skip
        refused = wanted.bid_micros is not None and wanted.bid_micros < offer.min_bid_micros
        if refused and wanted.cancel_unavailable and not self.strikes("leaves_contract", call):
            raise invalid_price("bid is below the minimum", ask_id=ask_id)
        if refused:
            contract.stage, contract.outbid = Stage.STOPPED, True
        else:
            take(contract)
        self.world.fleet.launch(contract, at=call.at)
        if refused:
            raise invalid_price("bid is below the minimum", ask_id=ask_id, new_contract=int(contract.id))
        return {"success": True, "new_contract": int(contract.id), "instance_api_key": f"{int(contract.id):064x}"}

    async def _charges(self, call: Call) -> object:
        until = call.at - timedelta(seconds=self.world.config.charges_lag_seconds)
        return charges_page(self.machines(), call.query, until=until)

    async def _invoices(self, call: Call) -> object:
        if '"when"' not in call.query.get("select_filters", ""):
            return {"success": False, "error": "invalid_args", "msg": "a when range is required"}
        return {"success": True, "count": 0, "total": 0, "next_token": None, "results": []}

    async def _account(self, call: Call) -> object:  # noqa: ARG002 - every handler takes the call
        spent = sum(row.cost_micros for row in self.world.fleet.truth() if row.provider == self.provider)
        return {
            "id": 9,
            "email": "sandbox@example.com",
            "username": "sandbox",
            "credit": dollars_number(_CREDIT_MICROS - spent),
            "balance": 0,
            "host_agreement_accepted": False,
            "ssh_key": next(iter(self.keys.texts()), None),
        }

    async def _gpu_names(self, call: Call) -> object:
        return {"gpu_names": sorted({offer.slab.gpu_name for offer in self.book.all(call.at)})}


def _contract_ids(world: World) -> Iterator[int]:
    """Yield instance ids: growing, with gaps as other customers take theirs."""
    number_ = 20_000_000
    while True:
        number_ += world.random.randrange(1, 500)
        yield number_
