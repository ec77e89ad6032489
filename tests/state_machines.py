"""Running a Hypothesis state machine against a database."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from app.kit.db import Database

_QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def run_machine(machine: type[RuleBasedStateMachine], databases: Any, **options: Any) -> None:
    """Run the machine in an event loop of its own, with its own connections: its ``loop`` and ``db``."""
    loop = asyncio.new_event_loop()
    db = Database.connect(databases.urls.worker, role="machine", pool_size=6)
    try:
        run_state_machine_as_test(
            type("Machine", (machine,), {"loop": loop, "db": db}),
            settings=settings(
                deadline=None,
                database=None,
                suppress_health_check=_QUIET,
                print_blob=True,
                report_multiple_bugs=False,
                **options,
            ),
        )
    finally:
        loop.run_until_complete(db.aclose())
        loop.close()
