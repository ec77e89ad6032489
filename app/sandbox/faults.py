"""Faults: what a cloud does wrong, on which call, how often.

A fault is drawn when a call matches it, in the order the faults were added, and is used up after ``times`` draws.

Answers (any operation):
    ``rate_limited``           429 in the cloud's own form; ``retry_after`` is sent as it stands
    ``server_error``           ``status`` (500); 502 to 504 as a gateway's HTML page
    ``unauthorized``           the key is refused; ``no_credit``: the account lacks money or quota
    ``timeout_after_success``  done, but no answer: ``mode`` ``hang`` (for ``seconds``, 30) or ``drop`` at once
    ``malformed``              done, then garbage with 200: ``mode`` ``truncated``, ``html``, ``types``, ``empty``,
                               ``duplicate_keys``, ``huge``
    ``slow``                   done, answered after ``seconds`` (5); ``mode`` ``drip`` spreads the body over them

The first three and ``no_credit`` come before anything is done, or with ``after_effect`` once it is. With Stripe
(``stripe.…``) the ``mode`` ``kept`` lets the idempotency key repeat a ``server_error`` for ever, as Stripe does once a
call has begun; ``slow`` waits before the call is done, its key in flight; ``no_credit`` is none of Stripe's.

GitHub (``github.authorize``, ``.token``, ``.user``, ``.emails``) knows the answers only.

Offers (``create``):
    ``price_changed``          the price went up 25 % since it was listed
    ``offer_gone``             refused as taken though still listed
    ``offer_drained``          refused and off the market; on ``list_offers``: nothing is on offer
    On ``start`` of a hibernated machine the last two mean that its GPU is taken (Hyperstack): it is refused, with
    ``mode`` ``later`` taken on and in error once it was tried.

Machines (``create``):
    ``never_boots``            boots without end; ``mode`` ``failed`` ends in the cloud's failed state instead
    ``wrong_gpu``              delivers another GPU; ``mode`` ``count`` delivers one too few or too many
    ``slow_gpu``               computes as asked but fifty times too slowly; ``mode`` ``memory`` or ``compute``: only that
    ``wrong_sums``             a product of matrices has a wrong bit
    ``no_ssh``                 runs, but SSH is refused; ``mode`` ``hang``: taken and never answered
    ``vanishes``               gone without a word ``seconds`` (1) after it runs
    ``lists_late``             left out of lists for ``seconds`` (5); ``mode`` ``everywhere``: unknown to get as well
    ``marker_lost``            its label or name is dropped; ``mode`` ``cut`` keeps 16 characters
    ``leaves_contract``        a refused bid leaves a stopped contract behind (Vast)

Ends (``destroy``):
    ``delete_fails``           ``mode`` ``error``: 500 and still running; ``lies``: 200 and still running
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace

REFUSALS = frozenset({"rate_limited", "server_error", "unauthorized", "no_credit"})
ANSWERS = REFUSALS | {"timeout_after_success", "malformed", "slow"}
OFFERS = frozenset({"price_changed", "offer_gone", "offer_drained"})
MACHINES = frozenset({
    "never_boots", "wrong_gpu", "slow_gpu", "wrong_sums", "no_ssh", "vanishes", "lists_late", "marker_lost",
    "leaves_contract",
})  # fmt: skip
KINDS = ANSWERS | OFFERS | MACHINES | {"delete_fails"}

OPERATIONS = frozenset({
    "list_offers", "create", "list_machines", "get_machine", "stop", "start", "reboot", "label", "change_bid",
    "destroy", "hibernate", "list_environments", "add_environment", "list_keys", "add_key", "remove_key", "attach_key",
    "charges", "account", "images",
}) | frozenset(f"stripe.{call}" for call in (
    "create_customer", "list_customers", "get_customer", "update_customer", "delete_customer",
    "list_payment_methods", "get_payment_method", "update_payment_method", "attach_payment_method",
    "detach_payment_method", "create_session", "list_sessions", "get_session", "expire_session", "list_session_lines",
    "list_setup_intents", "get_setup_intent", "create_payment_intent", "list_payment_intents",
    "search_payment_intents", "get_payment_intent", "update_payment_intent", "confirm_payment_intent",
    "cancel_payment_intent", "list_charges", "get_charge", "create_refund", "list_refunds", "get_refund",
    "update_refund", "list_disputes", "get_dispute", "list_fraud_warnings", "get_fraud_warning",
    "list_balance_transactions", "get_balance_transaction", "list_events", "get_event", "create_portal_session",
)) | frozenset({"github.authorize", "github.token", "github.user", "github.emails"})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong. The module's docstring tells what each kind does and which fields it heeds."""

    kind: str
    operation: str = ""
    """One of ``OPERATIONS``, ``*`` for any, or empty for the kind's own."""
    times: int | None = 1
    """None: for ever."""
    provider: str = "*"
    """A cloud's name such as ``vast``, ``stripe``, or ``*`` for any."""
    subject: str = "*"
    """Only calls about the machine with this id or marker; with Stripe, those with this id, value or key."""
    probability: float = 1.0
    """Drawn from the sandbox's seed at each matching call."""
    mode: str = ""
    seconds: float | None = None
    status: int | None = None
    retry_after: str | None = None
    after_effect: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown fault {self.kind!r}; one of {', '.join(sorted(KINDS))}")
        if self.operation not in OPERATIONS | {"", "*"}:
            raise ValueError(f"unknown operation {self.operation!r}; one of {', '.join(sorted(OPERATIONS))}")

    def concerns(self, provider: str, operation: str, subjects: Collection[str]) -> bool:
        """Whether a call is one that this fault spoils."""
        wanted = self.operation or _own_operation(self.kind)
        return (
            self.provider in {"*", provider}
            and wanted in {"*", operation}
            and (self.subject == "*" or self.subject in subjects)
        )

    def wait(self, default: float) -> float:
        """Return its seconds, or the default."""
        return default if self.seconds is None else self.seconds


def _own_operation(kind: str) -> str:
    if kind == "delete_fails":
        return "destroy"
    return "create" if kind in OFFERS | MACHINES | {"timeout_after_success"} else "*"


class Faults:
    """The faults that are switched on, and a count of those that struck."""

    def __init__(self, seed: int = 1) -> None:
        self.struck: Counter[str] = Counter()
        self._random = random.Random(seed)  # noqa: S311 - reproducible on purpose
        self._active: dict[int, Fault] = {}
        self._next_id = 1

    def add(self, fault: Fault) -> int:
        """Switch a fault on and return its number."""
        number, self._next_id = self._next_id, self._next_id + 1
        self._active[number] = fault
        return number

    def remove(self, number: int) -> bool:
        """Switch one off; False when it is not on."""
        return self._active.pop(number, None) is not None

    def clear(self) -> None:
        """Switch all off."""
        self._active.clear()

    def draw(
        self, kinds: Collection[str], *, provider: str, operation: str, subjects: Collection[str] = ()
    ) -> Fault | None:
        """Return the first fault of these kinds that strikes this call, using it up by one."""
        for number, fault in self._active.items():
            if fault.kind not in kinds or not fault.concerns(provider, operation, subjects):
                continue
            if fault.probability < 1 and self._random.random() >= fault.probability:
                continue
            self._use(number, fault)
            return fault
        return None

    def listed(self) -> list[dict[str, object]]:
        """Return what is on, with its number and how many strikes are left."""
        return [{"id": number, **asdict(fault)} for number, fault in self._active.items()]

    def _use(self, number: int, fault: Fault) -> None:
        self.struck[fault.kind] += 1
        if fault.times is None:
            return
        if fault.times <= 1:
            del self._active[number]
        else:
            self._active[number] = replace(fault, times=fault.times - 1)
