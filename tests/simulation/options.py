"""What a seed makes of a day: drawn in two steps (is it on today? how often does it strike?), printed when it fails."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from app.sandbox import Fault
from tests.simulation.wire import Line

_RATES = (0.03, 0.1, 0.3)
_ON = 0.3

FAULTS: tuple[Fault, ...] = (
    Fault("rate_limited", operation="create", retry_after="3"),
    Fault("rate_limited", operation="create", retry_after="0"),
    Fault("rate_limited", operation="get_machine", retry_after="soon, we hope"),
    Fault("rate_limited", operation="list_machines"),
    Fault("server_error", operation="create", status=500),
    Fault("server_error", operation="create", status=503),
    Fault("server_error", operation="create", after_effect=True),
    Fault("server_error", operation="get_machine", status=502),
    Fault("server_error", operation="list_machines", status=504),
    Fault("server_error", operation="destroy", after_effect=True),
    Fault("server_error", operation="list_offers"),
    Fault("unauthorized", operation="create"),
    Fault("no_credit", operation="create"),
    Fault("timeout_after_success", operation="create", mode="drop"),
    Fault("timeout_after_success", operation="destroy", mode="drop"),
    Fault("malformed", operation="create", mode="truncated"),
    Fault("malformed", operation="create", mode="html"),
    Fault("malformed", operation="list_machines", mode="types"),
    Fault("malformed", operation="get_machine", mode="empty"),
    Fault("malformed", operation="list_machines", mode="duplicate_keys"),
    Fault("price_changed"),
    Fault("offer_gone"),
    Fault("offer_drained"),
    Fault("offer_drained", operation="list_offers"),
    Fault("never_boots"),
    Fault("never_boots", mode="failed"),
    Fault("wrong_gpu"),
    Fault("wrong_gpu", mode="count"),
    Fault("no_ssh"),
    Fault("no_ssh", mode="hang"),
    Fault("vanishes", seconds=40),
    Fault("lists_late", seconds=20),
    Fault("lists_late", seconds=45, mode="everywhere"),
    Fault("marker_lost"),
    Fault("marker_lost", mode="cut"),
    Fault("leaves_contract"),
    Fault("delete_fails", mode="error"),
    Fault("delete_fails", mode="lies"),
)

ACCIDENTS = ("vanish", "outbid", "preempt", "kill_gpu", "silence", "fail")


@dataclass(frozen=True, slots=True)
class Size:
    """How much of a day is lived."""

    hours: float
    accounts: int
    between_wishes_seconds: float


TINY = Size(hours=0.15, accounts=2, between_wishes_seconds=90)
SMALL = Size(hours=0.5, accounts=3, between_wishes_seconds=240)
FULL = Size(hours=8, accounts=8, between_wishes_seconds=900)


@dataclass(frozen=True, slots=True)
class Options:
    """One day's troubles."""

    workers: int
    faults: tuple[tuple[str, Fault, float], ...]
    """Cloud, what, how often."""
    line: Line
    accidents: tuple[str, ...]
    accident_every_seconds: float
    outages: tuple[tuple[str, float, float], ...]
    """Cloud, from which share of the day on, for how many seconds."""
    worker_deaths: float
    """Probability that a step never comes to its end."""
    api_deaths: float
    freezes: float
    """How many times an hour a worker stands still."""
    money: tuple[int, int]
    """What a wallet begins with, from and to, in micro-dollars."""
    told: tuple[str, ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        """Return the list that a failure prints."""
        return "\n".join(
            [
                f"workers {self.workers}, deaths {self.worker_deaths:g}/{self.api_deaths:g}, freezes {self.freezes:g}/h",
                f"line {self.line}",
                f"accidents {', '.join(self.accidents)} every {self.accident_every_seconds:g} s",
                f"outages {self.outages}, money {self.money}",
                *(
                    f"fault {cloud} {fault.kind} {fault.operation} {fault.mode} {fault.status or ''} at {rate:g}"
                    for cloud, fault, rate in self.faults
                ),
            ]
        )


def drawn(seed: int, clouds: tuple[str, ...], *, hours: float) -> Options:
    """Return the day of a seed."""
    chance = random.Random(f"{seed}-options")

    def on(*choices: float) -> float:
        return chance.choice(choices) if chance.random() < _ON else 0.0

    faults = [
        (cloud, fault, chance.choice(_RATES)) for fault in FAULTS for cloud in clouds if chance.random() < _ON / 2
    ]
    line = Line(
        unreachable=on(0.01, 0.1),
        lost_before=on(0.01, 0.05),
        lost_after=on(0.01, 0.1),
        delayed=on(0.01, 0.03),
        slow=on(0.01, 0.1),
    )
    accidents = tuple(name for name in ACCIDENTS if chance.random() < 0.6)
    outages = tuple(
        (cloud, chance.uniform(0.1, 0.7), chance.uniform(300, hours * 1200))
        for cloud in clouds
        if chance.random() < 0.2
    )
    return Options(
        workers=chance.choice((1, 1, 1, 2)),
        faults=tuple(faults),
        line=line,
        accidents=accidents,
        accident_every_seconds=chance.choice((300, 900)),
        outages=outages,
        worker_deaths=chance.choice((0.0, 0.02, 0.08)),
        api_deaths=on(0.1),
        freezes=on(1.0, 3.0),
        money=chance.choice(((300_000, 2_000_000), (2_000_000, 50_000_000), (100_000, 50_000_000))),
    )
