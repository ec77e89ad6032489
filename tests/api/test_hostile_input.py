"""Whatever is sent, the answer is a documented refusal that repeats nothing of it."""

from __future__ import annotations

import gzip
import json
from urllib.parse import quote

import pytest

from .operations import PROBLEM

CANARY = "canary$9f3b"
BIG = 2**63
LONG = "7" * 5_000
TYPE = (b"content-type", b"application/json")
KEY = (b"idempotency-key", b"k")

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


def check(operation, answer, *, refused=True):
    """Pass when an answer is one that the description names, and a refusal is a problem without an echo."""
    assert answer.status < 500, (operation.id, answer.text)
    assert operation.documents(answer.status), (operation.id, answer.status, answer.text[:300])
    if refused:
        assert answer.status >= 400, (operation.id, answer.status)
    if answer.status >= 400:
        assert answer.headers["content-type"] == PROBLEM
        told = answer.json()
        assert told["status"] == answer.status
        assert told["code"] in operation.spec["responses"][str(answer.status)]["content"][PROBLEM]["examples"]
        assert CANARY not in answer.text
        assert "x-injected" not in answer.headers


def member(name, value):
    """A member of a JSON object whose value is written as it stands."""
    return f"{json.dumps(name)}: {value}"


def with_member(example, name, value):
    """An example's JSON with one member written as it stands."""
    members = [member(key, json.dumps(kept)) for key, kept in example.items() if key != name]
    return ("{" + ", ".join([*members, member(name, value)]) + "}").encode()


def bad_values(kinds):
    """JSON texts that no field of these kinds takes."""
    yield from ("NaN", "Infinity", "-Infinity", "1e999999", "1E+400000000", LONG, f"-{LONG}", f"0.{LONG}", "--1", "01")
    yield from (f'"\\u0000{CANARY}"', f'"{CANARY}\\ud800"', f'"\\udfff{CANARY}"', "[" * 5_000 + "]" * 5_000)
    yield from ('{"a":' * 40 + "1" + "}" * 40, f'{{"{CANARY}": 1, "{CANARY}": 2}}', "'x'", "undefined", "\x00", "\x0b1")
    yield f'{{"{CANARY}\\u0000": {{}}}}'
    if kinds <= {"integer", "null"}:
        yield from (
            str(BIG),
            str(-BIG),
            str(2**53),
            "true",
            "false",
            '"5"',
            "1.5",
            "1e2",
            "[]",
            "{}",
            f'"{CANARY}"',
            "-1",
        )
    if kinds <= {"string", "null"}:
        yield from ("5", "true", "[]", "{}", f'["{CANARY}"]')
    if kinds <= {"string", "number", "null"} and "number" in kinds:
        yield from (
            "true",
            "[]",
            "{}",
            '"NaN"',
            '"1e5"',
            '"-1"',
            "-1",
            '"0.0000001"',
            f'"{LONG}"',
            '"1,5"',
            '" 5"',
            '"٣"',
        )
    if kinds <= {"array", "null"}:
        yield from ('"x"', "5", "{}", "[null]", "[[]]", json.dumps([CANARY] * 10_000))
    if kinds <= {"object", "null"}:
        yield from (
            '"x"',
            "5",
            "[]",
            '{"a": 5}',
            '{"a": null}',
            json.dumps({f"{CANARY}{n}": "x" for n in range(1_000)}),
        )
    if "null" not in kinds:
        yield "null"


@pytest.fixture(scope="module")
def bodied(world):
    return [operation for operation in world.operations if operation.body is not None]


@pytest.fixture
def aimed(furnished):
    """The path of an operation with ids of the tenant's own."""

    def aiming(operation):
        return operation.at(**{name: furnished.has.get(has, ["rtx-4090"])[0] for has, name in operation.owners})

    return aiming


async def test_no_field_takes_what_is_not_of_its_kind(bodied, aimed, furnished) -> None:
    sent = 0
    for operation in bodied:
        for name, schema in operation.body["properties"].items():
            for value in bad_values(operation.kinds(schema)):
                body = with_member(operation.example, name, value)
                answer = await furnished.caller.send(operation.method, aimed(operation), body, [TYPE, KEY])
                check(operation, answer)
                assert answer.status in (400, 413, 422), (operation.id, name, value[:40], answer.text)
                sent += 1
    assert sent > 1_000


async def test_no_text_takes_what_is_not_text(bodied, aimed, furnished) -> None:
    """What is a text to JSON and not to us: of no length, of any length, with control or direction characters."""
    for operation in bodied:
        for name, schema in operation.body["properties"].items():
            if operation.kinds(schema) <= {"string", "null"}:
                for text in (
                    "",
                    "x" * 200_000,
                    f"{CANARY}\u202e",
                    f"{CANARY}\x1b[2J",
                    f"\ufeff{CANARY}",
                    f"{CANARY}\x7f",
                ):
                    body = with_member(operation.example, name, json.dumps(text))
                    answer = await furnished.caller.send(operation.method, aimed(operation), body, [TYPE, KEY])
                    if not (name == "startup_script" and text == ""):
                        check(operation, answer)


async def test_what_is_not_one_json_object_is_refused(bodied, aimed, furnished) -> None:
    for operation in bodied:
        good = json.dumps(operation.example).encode()
        twice = good[:-1] + b", " + good[1:]
        for body in (
            b"", b" ", b"null", b"[]", b"5", b'"x"', b"[" + good + b"]", good + good, good + b"x", good[:-1], twice,
            b"{", b"\xff\xfe", b"\xef\xbb\xbf" + good, good.decode().encode("utf-16"), b"[" * 100_000, b'{"a":' * 50_000,
            b'{"' + CANARY.encode() + b'": 1}', good[:-1] + b', "' + CANARY.encode() + b'": 1}', good[:-1] + b', "account_id": "x"}',
            good[:-1] + b', "__proto__": {}}', b"\x00" + good, gzip.compress(good),
        ):  # fmt: skip
            answer = await furnished.caller.send(operation.method, aimed(operation), body, [TYPE, KEY])
            check(operation, answer)
            assert answer.status in (400, 422), (operation.id, body[:50], answer.text)


async def test_another_type_encoding_or_size_is_refused(bodied, aimed, furnished) -> None:
    for operation in bodied:
        good, target = json.dumps(operation.example).encode(), aimed(operation)
        for headers in (
            [],
            [(b"content-type", b"text/plain")],
            [(b"content-type", b"application/x-www-form-urlencoded")],
            [(b"content-type", b"multipart/form-data; boundary=x")],
            [(b"content-type", b"application/json; charset=utf-16")],
            [(b"content-type", b"application/jsonp")],
            [(b"content-type", b"\xff\xfe")],
            [TYPE, (b"content-encoding", b"gzip")],
            [TYPE, (b"content-encoding", b"br, gzip")],
        ):
            answer = await furnished.caller.send(operation.method, target, good, [KEY, *headers])
            check(operation, answer)
            assert (answer.status, answer.json()["code"]) == (415, "unsupported_media_type"), (operation.id, headers)
        huge = b'{"name": "' + b"x" * (1 << 20) + b'"}'
        answer = await furnished.caller.send(operation.method, target, huge, [TYPE, KEY])
        check(operation, answer)
        assert answer.status == 413


async def test_a_body_where_none_is_wanted_harms_nobody(world, aimed, furnished) -> None:
    for operation in world.operations:
        if operation.body is None and operation.method in ("GET", "PUT"):
            for body in (b"{", b"\x00" * 100, b"[" * 100_000):
                answer = await furnished.caller.send(operation.method, aimed(operation) + "?", body, [TYPE, KEY])
                check(operation, answer, refused=False)


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


async def test_no_query_parameter_takes_what_is_not_of_its_kind(world, aimed, furnished) -> None:
    for operation in world.operations:
        required = [f"{one['name']}=rtx-4090" for one in operation.query if one["required"]]
        for parameter in operation.query:
            name, kinds = parameter["name"], operation.kinds(parameter["schema"])
            rest = [text for text in required if not text.startswith(f"{name}=")]
            for value in bad_parameters(kinds):
                target = f"{aimed(operation)}?{'&'.join([*rest, f'{quote(name)}={value}'])}"
                answer = await furnished.caller.send(operation.method, target)
                check(operation, answer)
            for value in ODD_TEXTS:
                target = f"{aimed(operation)}?{'&'.join([*rest, f'{quote(name)}={value}', f'{quote(name)}={value}'])}"
                check(operation, await furnished.caller.send(operation.method, target), refused=False)


async def test_an_unknown_query_parameter_is_refused_by_every_list(world, aimed, furnished) -> None:
    for operation in world.operations:
        required = "".join(f"&{one['name']}=rtx-4090" for one in operation.query if one["required"])
        for odd in (f"{CANARY}=1", f"%00{CANARY}=1", "account_id=x", "&&=&;", "%FF=%FF", f"{CANARY}[$gt]=1"):
            answer = await furnished.caller.send(operation.method, f"{aimed(operation)}?{odd}{required}", b"", [KEY])
            is_list = any(one["name"] == "limit" for one in operation.query)
            check(operation, answer, refused=is_list and not odd.startswith("&"))


async def test_an_odd_id_is_an_id_there_is_not(world, furnished) -> None:
    for operation in world.operations:
        for _, name in operation.owners:
            for odd in HOSTILE_PATHS:
                own = {other: furnished.has.get(has, ["rtx-4090"])[0] for has, other in operation.owners}
                target = operation.at(**own | {name: odd})
                body = b"" if operation.body is None else json.dumps(operation.example).encode()
                answer = await furnished.caller.send(operation.method, target, body, [TYPE, KEY])
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
