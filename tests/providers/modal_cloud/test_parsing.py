from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.providers import Connection, Machine, MachineStatus
from app.providers.modal_cloud.facts import Facts
from app.providers.modal_cloud.parsing import parse_machine
from app.providers.reading import Malformed

ID = "sb-" + "a1" * 11
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def facts(**changes):
    return Facts(**{"sandbox_id": ID, "tags": {"marker": "own-1"}, "result": 0, **changes})


@pytest.mark.parametrize(
    ("result", "status"),
    [
        (1, MachineStatus.GONE),
        (2, MachineStatus.FAILED),
        (3, MachineStatus.GONE),
        (4, MachineStatus.PREEMPTED),
        (5, MachineStatus.FAILED),
        (6, MachineStatus.FAILED),
        (7, MachineStatus.PREEMPTED),
        (8, MachineStatus.PREEMPTED),
        (9, MachineStatus.PREEMPTED),
        (10, MachineStatus.FAILED),
        (11, MachineStatus.FAILED),
        (-1, MachineStatus.FAILED),
    ],
)
def test_every_result_has_its_meaning_and_ends_with_the_destroy(result, status):
    machine = parse_machine(facts(result=result))
    assert machine.status is status
    assert machine.status_message
    assert machine.connection is None
    assert machine.preempts_at is None
    assert parse_machine(facts(result=result), destroyed=True).status is MachineStatus.GONE


def test_every_result_of_the_sdk_is_known():
    api = pytest.importorskip("modal_proto.api_pb2")
    told = {
        value: parse_machine(facts(result=value)).status_message for value in api.GenericResult.GenericStatus.values()
    }
    assert len(told) == len(set(told.values())) == 11
    assert not any("status" in words for words in told.values())


def test_a_sandbox_runs_once_its_ways_in_are_known():
    assert parse_machine(facts()).status is MachineStatus.PROVISIONING
    assert parse_machine(facts(), destroyed=True).status is MachineStatus.PROVISIONING
    machine = parse_machine(facts(tunnels={22: ("r1.modal.host", 40022), 8000: ("r2.modal.host", 41000)}))
    assert (machine.status, machine.marker) == (MachineStatus.RUNNING, "own-1")
    assert machine.connection == Connection("r1.modal.host", 40022, "root")
    assert machine.ports == {8000: ("r2.modal.host", 41000)}


def test_a_container_that_began_runs_though_nobody_says_where():
    machine = parse_machine(facts(began=True))
    assert (machine.status, machine.connection) == (MachineStatus.RUNNING, None)


def test_what_was_said_of_an_end_is_handed_on_cleaned():
    assert parse_machine(facts(result=5, words="no such\x00command\u202e")).status_message == "no such command"
    assert parse_machine(facts(result=0, words="ignored")).status_message == "on its way"


def test_a_sandbox_ends_when_its_time_is_over():
    machine = parse_machine(facts(created_at=AT, timeout_seconds=3600))
    assert machine.preempts_at == AT + timedelta(hours=1)
    assert parse_machine(facts(created_at=AT)).preempts_at is None


TEXTS = st.text(max_size=20) | st.sampled_from(["own-1", ID, "127.0.0.1", "sb-", "../x"])


@given(
    st.builds(
        Facts,
        sandbox_id=TEXTS,
        tags=st.dictionaries(st.sampled_from(["marker", "x"]), TEXTS, max_size=2),
        result=st.integers(-3, 20),
        words=TEXTS,
        tunnels=st.dictionaries(st.integers(0, 70_000) | st.just(22), st.tuples(TEXTS, st.integers(-1, 70_000))),
        began=st.booleans(),
    ),
    st.booleans(),
)
def test_whatever_is_told_becomes_a_machine_or_is_malformed(told, destroyed):
    with suppress(Malformed):
        machine = parse_machine(told, destroyed=destroyed)
        assert isinstance(machine, Machine)
        assert machine.machine_id == told.sandbox_id
        assert machine.connection is None or 0 < machine.connection.port < 65_536
