"""Vast's instances: read, change, destroy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from starlette.routing import Route

from app.sandbox.answers import Refusal
from app.sandbox.clouds import Call, Cloud, Handler
from app.sandbox.machines import Stage
from app.sandbox.vast.contracts import Contract, contract_row
from app.sandbox.vast.keys import KeyRing, public_key
from app.sandbox.vast.listing import instances_page
from app.sandbox.vast.renting import invalid_price, read_bid, take
from app.sandbox.vast.search import ids_in, invalid_args

_LABEL_MAX = 1024
_DONE = {"success": True}


class Instances:
    """The calls on contracts that exist."""

    def __init__(self, cloud: Cloud, keys: KeyRing) -> None:
        self._cloud = cloud
        self._keys = keys
        self._fleet = cloud.world.fleet

    def routes(self) -> list[Route]:
        """Return the paths under ``instances``."""
        v0, one = "/api/v0/instances", "/api/v0/instances/{id:int}"
        rows: list[tuple[str, str, str | Callable[[dict[str, Any]], str], Handler]] = [
            (f"{v0}/", "GET", "list_machines", self._list_old),
            ("/api/v1/instances/", "GET", "list_machines", self._list),
            (f"{v0}/", "PUT", _manage_operation, self._manage_bulk),
            (f"{v0}/", "DELETE", "destroy", self._destroy_bulk),
            (f"{v0}/reboot/{{id:int}}/", "PUT", "reboot", self._reboot),
            (f"{v0}/bid_price/{{id:int}}/", "PUT", "change_bid", self._change_bid),
            (f"{one}/", "GET", "get_machine", self._get),
            (f"{one}/", "PUT", _manage_operation, self._manage),
            (f"{one}/", "DELETE", "destroy", self._destroy),
            (f"{one}/ssh/", "GET", "list_keys", self._list_keys),
            (f"{one}/ssh/", "POST", "attach_key", self._attach_key),
            (f"{one}/ssh/{{key_id}}/", "DELETE", "remove_key", self._detach_key),
        ]
        return [self._cloud.route(*row) for row in rows]

    def outbid(self, contract: Contract) -> None:
        """Let somebody outbid a spot contract: it stops, and the floor is above its bid."""
        at = self._cloud.world.clock.now()
        floor = (contract.bid_micros or contract.price_micros_per_hour) * 6 // 5
        contract.offer.min_bid_micros = max(contract.offer.min_bid_micros, floor)
        contract.outbid = True
        self._fleet.stop(contract, at=at)

    async def _list(self, call: Call) -> object:
        return instances_page(self._rows(call), call.query)

    async def _list_old(self, call: Call) -> object:
        rows = self._rows(call)
        return {"success": True, "instances_found": len(rows), "instances": rows}

    async def _get(self, call: Call) -> object:
        contract = self._fleet.find(str(call.path["id"]))
        if not isinstance(contract, Contract) or not contract.found(call.at):
            return {"instances": None}
        return {"instances": contract_row(contract, at=call.at)}

    async def _manage(self, call: Call) -> object:
        self._change(self._contract(call.path["id"]), call)
        return _DONE

    async def _manage_bulk(self, call: Call) -> object:
        for contract in [self._contract(number) for number in ids_in(call.body, "ids")]:
            self._change(contract, call)
        return _DONE

    def _change(self, contract: Contract, call: Call) -> None:
        if "label" in call.body:
            label = call.body["label"]
            if label is not None and (not isinstance(label, str) or len(label) > _LABEL_MAX):
                raise Refusal(400, {"success": False, "error": "label_too_long", "msg": "Label is too long."})
            contract.marker = label or None
        match call.body.get("state"):
            case "stopped":
                self._stop(contract, call)
            case "running":
                self._start(contract, call)
            case None if "label" in call.body:
                pass
            case _:
                raise invalid_args("state must be running or stopped")

    def _stop(self, contract: Contract, call: Call) -> None:
        """Stop: the GPU is free for others, the disk stays."""
        contract.waits_for_gpu = False
        if contract.stage not in {Stage.STOPPED, Stage.STOPPING}:
            self._fleet.stop(contract, at=call.at)
            contract.release()
            self._wake_waiting(call)

    def _start(self, contract: Contract, call: Call) -> None:
        """Start again, if the GPU is still to be had and the bid holds."""
        if contract.stage not in {Stage.STOPPED, Stage.STOPPING}:
            return
        bid_holds = contract.bid_micros is None or contract.bid_micros >= contract.offer.min_bid_micros
        free = contract.offer.taken_by in {None, contract.id}
        if not bid_holds:
            return
        contract.outbid, contract.waits_for_gpu = False, not free
        if free:
            take(contract)
            self._fleet.boot(contract, at=call.at)

    async def _reboot(self, call: Call) -> object:
        contract = self._contract(call.path["id"])
        if contract.stage is Stage.RUNNING:
            self._fleet.reboot(contract, at=call.at)
        return _DONE

    async def _change_bid(self, call: Call) -> object:
        contract = self._contract(call.path["id"])
        bid = read_bid(call.body.get("price"), ask_id=contract.offer.id)
        if bid is None or not contract.spot:
            raise invalid_price("this instance takes no bid")
        contract.bid_micros = contract.price_micros_per_hour = bid
        if contract.stage is Stage.RUNNING:
            contract.charge("gpu", bid, at=call.at)
        elif contract.outbid:
            self._start(contract, call)
        return _DONE

    async def _destroy(self, call: Call) -> object:
        self._end(self._contract(call.path["id"]), call)
        return {"success": True, "msg": f"Instance {call.path['id']} destroyed."}

    async def _destroy_bulk(self, call: Call) -> object:
        for contract in [self._contract(number) for number in ids_in(call.body, "instance_ids")]:
            self._end(contract, call)
        return {"success": True, "msg": "Instances destroyed."}

    def _end(self, contract: Contract, call: Call) -> None:
        fault = self._cloud.strikes("delete_fails", call)
        if fault is None:
            self._fleet.terminate(contract, at=call.at)
            self._wake_waiting(call)
        elif fault.mode != "lies":
            raise self._cloud.refusal("server_error", status=fault.status)

    def _wake_waiting(self, call: Call) -> None:
        """Start whoever waited for a GPU that is free now."""
        for contract in cast("list[Contract]", self._cloud.machines()):
            if contract.waits_for_gpu:
                self._start(contract, call)

    async def _list_keys(self, call: Call) -> object:
        contract = self._contract(call.path["id"])
        return {
            "success": True,
            "ssh_keys": [{"id": number, "public_key": key} for number, key in contract.attached.items()],
        }

    async def _attach_key(self, call: Call) -> object:
        contract, key = self._contract(call.path["id"]), public_key(call)
        contract.attached[self._keys.next_id()] = key
        self._fleet.authorize(contract, key)
        return {"success": True, "msg": "SSH key added to instance."}

    async def _detach_key(self, call: Call) -> object:
        contract = self._contract(call.path["id"])
        key = contract.attached.pop(str(call.path["key_id"]), None)
        if key in contract.keys:
            contract.keys.remove(key)
        return _DONE

    def _contract(self, number: object) -> Contract:
        contract = self._fleet.find(str(number))
        if not isinstance(contract, Contract) or contract.stage is Stage.GONE:
            body = {"success": False, "error": "no_such_instance", "msg": f"Instance {number} not found."}
            raise Refusal(404, body)
        return contract

    def _rows(self, call: Call) -> list[dict[str, Any]]:
        contracts = cast("list[Contract]", self._cloud.late_listed(call, self._cloud.machines()))
        return [contract_row(contract, at=call.at) for contract in contracts]


def _manage_operation(body: dict[str, Any]) -> str:
    states = {"stopped": "stop", "running": "start"}
    return states.get(str(body.get("state")), "label")
