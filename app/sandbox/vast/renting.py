"""Vast's create: what is asked for, whether it can be had, and the contract that follows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from app.kit.money import from_price
from app.sandbox.answers import Refusal
from app.sandbox.gpus import gpu_facts
from app.sandbox.machines import Stage
from app.sandbox.vast.contracts import Contract
from app.sandbox.vast.offers import Offer
from app.sandbox.vast.search import invalid_args, number

_LABEL_MAX = 256
_SCRIPT_MAX = 4096
_DISK_MIN_GB = 8
_BID_MIN, _BID_MAX = Decimal("0.001"), Decimal(128)
_RUNTYPES = ("ssh", "jupyter", "args")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A create request, read and found sound."""

    disk_gb: Decimal
    bid_micros: int | None
    label: str | None
    image: str | None
    env: dict[str, str]
    onstart: str | None
    runtype: str
    starts_stopped: bool
    cancel_unavailable: bool


def read_wanted(body: dict[str, Any], *, ask_id: int) -> Wanted:
    """Read a create request.

    Raises:
        Refusal: 400 ``invalid_args`` or ``invalid_price``, as Vast words it.
    """
    disk = number(body.get("disk", 10))
    label, onstart, env = body.get("label"), body.get("onstart"), body.get("env") or {}
    runtype = body.get("runtype") or "ssh_proxy"
    checks = {
        "image or template_hash_id is required": body.get("image") or body.get("template_hash_id"),
        f"disk must be at least {_DISK_MIN_GB} GB": disk is not None and disk >= _DISK_MIN_GB,
        "label is too long": label is None or (isinstance(label, str) and len(label) <= _LABEL_MAX),
        "onstart and args are too long": _script_length(body) <= _SCRIPT_MAX,
        "env must be an object": isinstance(env, dict),
        "runtype is unknown": isinstance(runtype, str) and runtype.startswith(_RUNTYPES),
        "target_state is unknown": body.get("target_state") in {None, "running", "stopped"},
    }
    for message, holds in checks.items():
        if not holds:
            raise invalid_args(message, ask_id=ask_id)
    return Wanted(
        disk_gb=disk or Decimal(10),
        bid_micros=read_bid(body.get("price"), ask_id=ask_id),
        label=label or None,
        image=body.get("image"),
        env={str(key): str(value) for key, value in env.items()},
        onstart=onstart,
        runtype=runtype,
        starts_stopped=body.get("target_state") == "stopped",
        cancel_unavailable=bool(body.get("cancel_unavail")),
    )


def read_bid(price: object, *, ask_id: int) -> int | None:
    """Read a bid in dollars per hour; None means on demand."""
    if price is None:
        return None
    bid = number(price)
    if bid is None or not _BID_MIN <= bid <= _BID_MAX:
        raise invalid_price(f"price must be between {_BID_MIN} and {_BID_MAX}", ask_id=ask_id)
    return from_price(bid)


def invalid_price(message: str, **more: object) -> Refusal:
    """Return Vast's word for a bid it does not take."""
    return Refusal(400, {"success": False, "error": "invalid_price", "msg": message, **more})


def no_such_ask(ask_id: int, *, known: bool) -> Refusal:
    """Return Vast's word for an offer that is taken or gone, or that never was."""
    if known:
        message = f"error 410/3907: no_such_ask  Instance type by id {ask_id} is not available."
        return Refusal(410, {"success": False, "error": "no_such_ask", "msg": message, "ask_id": ask_id})
    message = f"error 404/3603: no_such_ask  Instance type by id {ask_id} is not available."
    return Refusal(404, {"success": False, "error": "invalid_args", "msg": message, "ask_id": ask_id})


def new_contract(
    number_: int, offer: Offer, wanted: Wanted, *, keys: list[str], boot_seconds: float, at: datetime
) -> Contract:
    """Build the contract on an offer; nothing is taken yet."""
    slab = offer.slab
    price = offer.base_micros if wanted.bid_micros is None else wanted.bid_micros
    return Contract(
        provider="vast",
        id=str(number_),
        marker=wanted.label,
        offer_id=str(offer.id),
        offer=offer,
        gpu=gpu_facts(slab.gpu_name, slab.num_gpus, slab.vram_mib),
        price_micros_per_hour=price,
        disk_micros_per_hour=offer.disk_micros_per_hour(wanted.disk_gb),
        created_at=at,
        boot_seconds=boot_seconds,
        username="root",
        spot=wanted.bid_micros is not None,
        bid_micros=wanted.bid_micros,
        keys=keys,
        disk_gb=wanted.disk_gb,
        image=wanted.image,
        env=wanted.env,
        onstart=wanted.onstart,
        runtype=wanted.runtype,
        stage=Stage.STOPPED if wanted.starts_stopped else Stage.BOOTING,
    )


def take(contract: Contract) -> None:
    """Hold the offer for a contract; its end gives the offer back."""
    offer = contract.offer
    offer.taken_by = contract.id
    contract.release = _release(contract)


def _release(contract: Contract) -> Callable[[], None]:
    def release() -> None:
        """Give the offer back while the contract still holds it."""
        if contract.offer.taken_by == contract.id:
            contract.offer.give_back()

    return release


def _script_length(body: dict[str, Any]) -> int:
    arguments = body.get("args_str") or body.get("args") or ""
    text = " ".join(map(str, arguments)) if isinstance(arguments, list) else str(arguments)
    return len(str(body.get("onstart") or "")) + len(text)
