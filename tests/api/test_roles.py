"""What each role may do: every operation of the API, with what is its own team's and with what is another team's."""

from __future__ import annotations

import pytest

from .role_table import ALLOWED
from .staff import ROLES, staff

LAST = (
    "remove_team_member",
    "leave_team",
    "archive_team",
    "remove_member",
    "end_other_sessions",
    "transfer_account",
    "leave_account",
    "sign_out",
)
"""They take away what the others are tried with."""
LETTERS = {name: name[0] for name in ROLES}
REFUSED = (403, 404)


@pytest.fixture(scope="module")
async def everybody(world):
    return {name: await staff(world, name) for name in ROLES}


@pytest.fixture(scope="module")
async def found(world, everybody):
    """What became of every request: by operation and by whose things it names, who was let in."""
    told = {}
    for name, one in everybody.items():
        for operation in in_order(world.operations):
            for whose, has in (("foreign", one.foreign), ("own", one.own)):
                if whose == "own" or any(one.own[each] != one.foreign[each] for each, _ in operation.owners):
                    told.setdefault(operation.id, {}).setdefault(whose, {})[name] = await outcome(one, operation, has)
    return told


def in_order(operations):
    """The operations that take a person, what only reads first, and what ends something last."""
    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]

    def place(operation):
        late = 1 + LAST.index(operation.id) if operation.id in LAST else 0
        return late, methods.index(operation.method)

    return sorted((one for one in operations if one.secured), key=place)


async def outcome(one, operation, has):
    query = "&".join(f"{each['name']}=rtx-4090" for each in operation.query if each["required"])
    target = operation.at(**{name: has[each] for each, name in operation.owners}) + (f"?{query}" if query else "")
    body = one.bodies.get(operation.id, operation.example)
    return await one.who.ask(operation.method, target, body)


def test_every_operation_of_a_person_has_a_line(world) -> None:
    assert {one.id for one in in_order(world.operations)} == set(ALLOWED)


def test_each_role_is_let_in_where_the_table_says_so_and_nowhere_else(found) -> None:
    differ = {}
    for operation, by_whose in found.items():
        line = [
            "".join(LETTERS[name] if answer.status not in REFUSED else "-" for name, answer in by_whose[whose].items())
            for whose in ("own", "foreign")
            if whose in by_whose
        ]
        if " ".join(line) != ALLOWED.get(operation):
            differ[operation] = " ".join(line)
    assert differ == {}


def test_nobody_is_answered_by_an_accident(found) -> None:
    for operation, by_whose in found.items():
        for answers in by_whose.values():
            for name, answer in answers.items():
                assert answer.status < 500, (operation, name, answer.text)
                assert answer.status != 401, (operation, name, answer.text)


def test_what_is_anothers_team_is_answered_as_if_there_were_nothing(found) -> None:
    """A role with the scope learns nothing of a foreign team's thing; one without the scope does not get so far."""
    for operation, by_whose in found.items():
        for name, answer in by_whose.get("foreign", {}).items():
            if answer.status == 403:
                assert by_whose["own"][name].status == 403, (operation, name)
