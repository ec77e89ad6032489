"""Whatever is sent, the answer is a documented refusal that repeats nothing of it."""

from __future__ import annotations

import gzip
import json
from itertools import count, islice

import pytest

from tests.soaking import in_soak

from .people import sender
from .refusals import BIG, CANARY, KEY, LONG, TYPE, check


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


FINE = {("startup_script", ""), ("description", ""), ("text", "x")}
"""Fields whose texts may have no length, or any."""


@pytest.fixture(scope="module")
def bodied(world):
    return [operation for operation in world.operations if operation.body is not None]


@pytest.fixture(scope="module")
async def send(world, furnished):
    return await sender(world, furnished)


@pytest.mark.parametrize("share", [3, *in_soak(1)])
async def test_no_field_takes_what_is_not_of_its_kind(bodied, aimed, send, share) -> None:
    """Each field takes one in ``share`` of the values, in turns."""
    turns, sent = count(), 0
    for operation in bodied:
        for name, schema in operation.body["properties"].items():
            for value in islice(bad_values(operation.kinds(schema)), next(turns) % share, None, share):
                body = with_member(operation.example, name, value)
                answer = await send(operation, aimed(operation), body, [TYPE, KEY])
                check(operation, answer)
                assert answer.status in (400, 413, 422), (operation.id, name, value[:40], answer.text)
                sent += 1
    assert sent > 3_000 / share


async def test_no_text_takes_what_is_not_text(bodied, aimed, send) -> None:
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
                    answer = await send(operation, aimed(operation), body, [TYPE, KEY])
                    if (name, text[:1]) not in FINE:
                        check(operation, answer)


async def test_what_is_not_one_json_object_is_refused(bodied, aimed, send) -> None:
    for operation in bodied:
        good = json.dumps(operation.example).encode()
        twice = good[:-1] + b", " + good[1:]
        for body in (
            b"", b" ", b"null", b"[]", b"5", b'"x"', b"[" + good + b"]", good + good, good + b"x", good[:-1], twice,
            b"{", b"\xff\xfe", b"\xef\xbb\xbf" + good, good.decode().encode("utf-16"), b"[" * 100_000, b'{"a":' * 50_000,
            b'{"' + CANARY.encode() + b'": 1}', good[:-1] + b', "' + CANARY.encode() + b'": 1}', good[:-1] + b', "account_id": "x"}',
            good[:-1] + b', "__proto__": {}}', b"\x00" + good, gzip.compress(good),
        ):  # fmt: skip
            answer = await send(operation, aimed(operation), body, [TYPE, KEY])
            check(operation, answer)
            assert answer.status in (400, 422), (operation.id, body[:50], answer.text)


async def test_another_type_encoding_or_size_is_refused(bodied, aimed, send) -> None:
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
            answer = await send(operation, target, good, [KEY, *headers])
            check(operation, answer)
            assert (answer.status, answer.json()["code"]) == (415, "unsupported_media_type"), (operation.id, headers)
        huge = b'{"name": "' + b"x" * (1 << 20) + b'"}'
        answer = await send(operation, target, huge, [TYPE, KEY])
        check(operation, answer)
        assert answer.status == 413


async def test_a_body_where_none_is_wanted_harms_nobody(world, aimed, send) -> None:
    for operation in world.operations:
        if operation.body is None and operation.method in ("GET", "PUT"):
            for body in (b"{", b"\x00" * 100, b"[" * 100_000):
                answer = await send(operation, aimed(operation) + "?", body, [TYPE, KEY])
                check(operation, answer, refused=False)
