"""Whatever stands in a path, a query or a header, the answer is a documented one that repeats nothing of it."""

from __future__ import annotations

import json
from itertools import count, islice
from urllib.parse import quote

import pytest

from tests.soaking import in_soak

from .people import sender
from .refusals import BIG, CANARY, KEY, LONG, TYPE, check

HOSTILE_PATHS = (
    "%00",
    "a%00b",
    "%ED%A0%80",
    "%FF%FE",
    "..%2F..%2Fetc",
    "%2e%2e",
    "%E2%80%AE",
    "a" * 8_000,
    CANARY,
    "rent_",
    "rent_01ARZ3NDEKTSV4RRFFQ69G5FA",
    "rent_81ARZ3NDEKTSV4RRFFQ69G5FAV",
    "RENT_01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "rent_%D9%A0%D9%A0ARZ3NDEKTSV4RRFFQ69G5FAV",
    "'%20OR%201=1--",
    "{{7*7}}",
    "%0d%0aX-Injected:%201",
    "-1",
    "null",
    "%20",
)


def bad_parameters(kinds):
    """Percent-encoded texts that no parameter of these kinds takes."""
    if kinds <= {"integer", "null"}:
        yield from (
            "NaN",
            "Infinity",
            "1e400",
            "1.5",
            LONG,
            f"-{LONG}",
            str(BIG),
            str(-BIG),
            "-1",
            "true",
            "0x10",
            CANARY,
        )
        yield from ("%00", "5%00", "%EF%BC%95", "%FF", "[]", "5,5", "%F0%9F%92%A9")
    elif kinds <= {"boolean", "null"}:
        yield from ("2", CANARY, "%00", "NaN")
    elif kinds <= {"string", "number", "null"} and "number" in kinds:
        yield from ("NaN", "Infinity", "-1", "1e400", LONG, "%00", CANARY, "1%00", "%D9%A3", "1_0")


ODD_TEXTS = (
    "%00",
    f"{CANARY}%00",
    "%FF",
    "%ED%A0%80",
    "x" * 5_000,
    "'%20OR%20'1'='1",
    "%25",
    "_",
    "%5C",
    "%E2%80%AE",
    "",
)


@pytest.fixture(scope="module")
async def send(world, furnished):
    return await sender(world, furnished)


@pytest.mark.parametrize("share", [2, *in_soak(1)])
async def test_no_query_parameter_takes_what_is_not_of_its_kind(world, aimed, send, share) -> None:
    """Each parameter takes one in ``share`` of the values, in turns."""
    turns = count()
    for operation in world.operations:
        required = [f"{one['name']}=rtx-4090" for one in operation.query if one["required"]]
        for parameter in operation.query:
            name, kinds = parameter["name"], operation.kinds(parameter["schema"])
            rest = [text for text in required if not text.startswith(f"{name}=")]
            turn = next(turns) % share
            for value in islice(bad_parameters(kinds), turn, None, share):
                target = f"{aimed(operation)}?{'&'.join([*rest, f'{quote(name)}={value}'])}"
                answer = await send(operation, target, b"", [])
                check(operation, answer)
            for value in ODD_TEXTS[turn::share]:
                target = f"{aimed(operation)}?{'&'.join([*rest, f'{quote(name)}={value}', f'{quote(name)}={value}'])}"
                check(operation, await send(operation, target, b"", []), refused=False)


async def test_an_unknown_query_parameter_is_refused_by_every_list(world, aimed, send) -> None:
    for operation in world.operations:
        required = "".join(f"&{one['name']}=rtx-4090" for one in operation.query if one["required"])
        for odd in (f"{CANARY}=1", f"%00{CANARY}=1", "account_id=x", "&&=&;", "%FF=%FF", f"{CANARY}[$gt]=1"):
            answer = await send(operation, f"{aimed(operation)}?{odd}{required}", b"", [KEY])
            is_list = any(one["name"] == "limit" for one in operation.query)
            check(operation, answer, refused=is_list and not odd.startswith("&"))


@pytest.mark.parametrize("share", [2, *in_soak(1)])
async def test_an_odd_id_is_an_id_there_is_not(world, furnished, send, share) -> None:
    """Each operation is asked with one in ``share`` of the ids, in turns."""
    for turn, operation in enumerate(world.operations):
        for _, name in operation.owners:
            for odd in HOSTILE_PATHS[turn % share :: share]:
                own = {other: furnished.has.get(has, ["rtx-4090"])[0] for has, other in operation.owners}
                target = operation.at(**own | {name: odd})
                body = b"" if operation.body is None else json.dumps(operation.example).encode()
                answer = await send(operation, target, body, [TYPE, KEY])
                if "/" in odd.replace("%2F", "/") or (odd, answer.status) == ("%2e%2e", 405):
                    assert answer.status in (404, 405)
                    continue
                check(operation, answer)
                assert answer.status in (404, 422), (operation.id, odd, answer.text)


@pytest.mark.parametrize("header", ["idempotency-key", "if-match", "last-event-id", "x-request-id", "accept", "cookie"])
@pytest.mark.parametrize("value", [b"", b"\xff\xfe", b"\x00", b"x" * 9_000, b'"', b",,,", "é²".encode(), b"-1", b"\t"])
async def test_an_odd_header_is_refused_or_overlooked(world, aimed, furnished, header, value) -> None:
    names = {"idempotency-key": "create_quote", "if-match": "update_rental", "last-event-id": "list_rental_events"}
    operation = next(one for one in world.operations if one.id == names.get(header, "list_transfers"))
    body = b"" if operation.body is None else json.dumps(operation.example).encode()
    streams = [(b"accept", b"text/event-stream")] if header == "last-event-id" and value else []
    answer = await furnished.caller.send(
        operation.method, aimed(operation), body, [TYPE, *streams, (header.encode(), value)]
    )
    visible = value and all(0x20 < byte < 0x7F for byte in value) and len(value) < 256
    check(operation, answer, refused=header == "if-match" or (header == "idempotency-key" and not visible))


@pytest.mark.parametrize(
    "value", [b"Bearer", b"Bearer ", b"Basic x", b"Bearer \xff", b"Bearer \x00", b"Bearer " + b"x" * 99_999]
)
async def test_an_odd_authorization_is_no_key(world, value) -> None:
    for operation in world.operations:
        if operation.secured:
            answer = await world.stranger.send(operation.method, operation.at(), b"", [(b"authorization", value)])
            check(operation, answer)
            assert answer.status == 401


async def test_two_authorizations_are_none(world, furnished) -> None:
    answer = await furnished.caller.send("GET", "/v1/rentals", b"", [(b"authorization", b"Bearer x")])
    assert (answer.status, answer.json()["code"]) == (401, "unauthorized")
