"""Modal's sandboxes in our words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType

from app.providers.contract import Connection, Machine, MachineStatus
from app.providers.modal_cloud.facts import Facts
from app.providers.reading import Malformed, host, maybe, name, port, text

MARKER_TAG = "marker"
SSH_PORT = 22
_ID = re.compile(r"sb-[A-Za-z0-9-]{1,60}", re.ASCII)

_RESULTS: Mapping[int, tuple[MachineStatus, str]] = MappingProxyType(
    {
        1: (MachineStatus.GONE, "the container's command ended"),
        2: (MachineStatus.FAILED, "the container's command failed"),
        3: (MachineStatus.GONE, "terminated"),
        4: (MachineStatus.PREEMPTED, "its time was over"),
        5: (MachineStatus.FAILED, "the container did not start"),
        6: (MachineStatus.FAILED, "the cloud failed"),
        7: (MachineStatus.PREEMPTED, "it was idle"),
        8: (MachineStatus.PREEMPTED, "it was evicted for memory"),
        9: (MachineStatus.PREEMPTED, "it was evicted for thrashing"),
        10: (MachineStatus.FAILED, "it ran out of memory"),
    }
)
"""Modal's ``GenericStatus`` of a container that ended. One that we don't know is a failure."""


def parse_machine(facts: Facts, *, destroyed: bool = False) -> Machine:
    """Return a sandbox. One that has ended and was destroyed on top is gone, however it ended.

    Raises:
        Malformed: the id or the marker is not of its form.
    """
    status, said = _status(facts)
    address = facts.tunnels.get(SSH_PORT)
    where = None if address is None else (maybe(host, address[0]), maybe(port, address[1]))
    return Machine(
        machine_id=sandbox_id(facts.sandbox_id),
        marker=marker_of(facts),
        status=MachineStatus.GONE if destroyed and facts.result else status,
        status_message=(maybe(text, facts.words) if facts.result else "") or said,
        connection=Connection(where[0], where[1], "root") if where and where[0] and where[1] else None,
        ports={inner: outer for inner, outer in facts.tunnels.items() if inner != SSH_PORT},
        created_at=facts.created_at,
        preempts_at=_end(facts),
    )


def marker_of(facts: Facts) -> str | None:
    """Return the marker.

    Raises:
        Malformed: it is no name.
    """
    found = facts.tags.get(MARKER_TAG)
    return None if found is None else name(found)


def maybe_marker(facts: Facts) -> str | None:
    """Return the marker, None also where it is no name."""
    return maybe(name, facts.tags.get(MARKER_TAG))


def sandbox_id(value: str) -> str:
    """Return an id.

    Raises:
        Malformed: it is none.
    """
    if not _ID.fullmatch(value):
        raise Malformed("a sandbox's id has another form")
    return value


def _end(facts: Facts) -> datetime | None:
    """Return when its time will be over, at the earliest: it counts from the start, which is after the create."""
    if facts.created_at is None or facts.timeout_seconds is None or facts.result:
        return None
    return facts.created_at + timedelta(seconds=facts.timeout_seconds)


def _status(facts: Facts) -> tuple[MachineStatus, str]:
    if facts.result:
        return _RESULTS.get(facts.result, (MachineStatus.FAILED, f"it ended with status {facts.result}"))
    if facts.tunnels or facts.began:
        return MachineStatus.RUNNING, "running"
    return MachineStatus.PROVISIONING, "on its way"
