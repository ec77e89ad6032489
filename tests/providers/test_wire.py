"""The wire against a real server on this machine that misbehaves byte by byte."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import httpx
import pytest

from app.providers.errors import (
    OutcomeUnknown,
    RateLimited,
    Unavailable,
)
from app.providers.reading import mapping
from app.providers.wire import ANSWER_MAX_BYTES, Call, Dialect, Wire, WireOptions

Script = Callable[[asyncio.StreamWriter, int], Awaitable[None]]

READ = Call("get_machine", "GET", "/thing", ("show",))
CHANGE = Call("create", "PUT", "/thing", ("create",), changes=True, body={"a": 1})


def raw(status: int, body: bytes = b"", *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(head).encode() + body


def says(*answers: bytes) -> Script:
    async def script(writer: asyncio.StreamWriter, turn: int) -> None:
        writer.write(answers[min(turn, len(answers) - 1)])
        await writer.drain()

    return script


class Server:
    def __init__(self) -> None:
        self.url = ""
        self.turns = 0
        self.met = asyncio.Event()


@asynccontextmanager
async def serving(script: Script) -> AsyncIterator[Server]:
    state = Server()
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while True:
                    head = await reader.readuntil(b"\r\n\r\n")
                    lines = head.lower().split(b"\r\n")
                    await reader.readexactly(
                        next((int(line[15:]) for line in lines if line[:14] == b"content-length"), 0)
                    )
                    turn, state.turns = state.turns, state.turns + 1
                    state.met.set()
                    await script(writer, turn)
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    state.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield state
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


@asynccontextmanager
async def speaking(
    url: str,
    *,
    pace: dict[str, float] | None = None,
    **options: object,
) -> AsyncIterator[Wire]:
    patience = {
        "connect_seconds": 0.5,
        "first_byte_seconds": 0.3,
        "total_seconds": 1.0,
        "first_retry_seconds": 0.01,
        **options,
    }
    dialect = Dialect("test", lambda *_: None, pace or {})
    wire = Wire(dialect, base_url=url, api_key="secret", client=None, options=WireOptions(**patience))
    try:
        yield wire
    finally:
        await wire.aclose()


async def drip_body(writer: asyncio.StreamWriter, turn: int) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    for _ in range(10_000):
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.05)


async def drip_headers(writer: asyncio.StreamWriter, turn: int) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(10_000):
        writer.write(f"X-{number}: y\r\n".encode())
        await writer.drain()
        await asyncio.sleep(0.05)


async def silence(writer: asyncio.StreamWriter, turn: int) -> None:
    await asyncio.sleep(60)


async def hang_up(writer: asyncio.StreamWriter, turn: int) -> None:
    writer.transport.abort()


async def cut(writer: asyncio.StreamWriter, turn: int) -> None:
    writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"a":')
    await writer.drain()
    writer.close()


async def flood(writer: asyncio.StreamWriter, turn: int) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b" " * 65_536
    while True:
        writer.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        await writer.drain()


BAD = {
    "dripped body": drip_body,
    "dripped headers": drip_headers,
    "silence": silence,
    "hung up": hang_up,
    "cut": cut,
    "flood": flood,
    "announced flood": says(raw(200, b" " * (ANSWER_MAX_BYTES + 1))),
    "page": says(raw(200, b"<html>busy</html>")),
    "truncated": says(raw(200, b'{"a": ')),
    "other shape": says(raw(200, b"[1]")),
    "nothing": says(raw(200, b"")),
    "no http": says(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
    "compressed": says(raw(200, b"\x1f\x8b\x08\x00", "Content-Encoding: gzip")),
    "redirect": says(raw(302, b"", "Location: http://127.0.0.1:1/")),
    "odd redirect": says(raw(302, b"", "Location: http://[::/\xff")),
    "500": says(raw(500, b"oops")),
    "502": says(raw(502, b"<html>")),
    "503": says(raw(503, b"{}")),
    "504": says(raw(504)),
    "408": says(raw(408)),
}


@pytest.mark.parametrize("script", BAD.values(), ids=BAD)
async def test_a_bad_answer_leaves_a_change_in_doubt_and_a_reading_without_harm(script):
    async with serving(script) as server, speaking(server.url) as wire:
        with pytest.raises(OutcomeUnknown) as caught:
            await wire.change(CHANGE, mapping)
        assert server.turns == 1
        assert "secret" not in str(caught.value)
        with pytest.raises(Unavailable):
            await wire.read(READ, mapping)


async def test_no_call_outlasts_its_deadline():
    for script in (drip_body, drip_headers, silence):
        async with serving(script) as server, speaking(server.url) as wire:
            async with asyncio.timeout(30):  # the drips would last for minutes
                with pytest.raises(Unavailable):
                    await wire.read(READ, mapping)


async def test_without_a_connection_a_change_was_not_sent():
    for url in ("http://127.0.0.1:1", "http://no-such-host.invalid", "ftp://127.0.0.1"):
        async with speaking(url) as wire:
            with pytest.raises(Unavailable):
                await wire.change(CHANGE, mapping)


async def test_a_reading_call_is_tried_again_twice_and_a_change_never():
    async with serving(says(raw(503))) as server, speaking(server.url, total_seconds=10) as wire:
        with pytest.raises(Unavailable):
            await wire.read(READ, mapping)
        assert server.turns == 3
        with pytest.raises(OutcomeUnknown):
            await wire.change(CHANGE, mapping)
        assert server.turns == 4


async def test_a_reading_call_succeeds_at_the_second_try():
    answers = says(raw(200, b'{"a": '), raw(200, b'{"a": 1}'))
    async with serving(answers) as server, speaking(server.url, total_seconds=10) as wire:
        assert await wire.read(READ, mapping) == {"a": 1}


async def test_retry_after_is_honoured_within_the_deadline_and_handed_on_beyond_it():
    answers = says(raw(429, b"", "Retry-After: 1"), raw(200, b"{}"))
    async with serving(answers) as server, speaking(server.url, total_seconds=10) as wire:
        started = time.monotonic()
        await wire.read(READ, mapping)
        assert time.monotonic() - started >= 1
    async with serving(says(raw(429, b"", "Retry-After: 86400"))) as server, speaking(server.url) as wire:
        with pytest.raises(RateLimited) as caught:
            await wire.read(READ, mapping)
        assert (caught.value.retry_after_seconds, server.turns) == (60, 1)


async def test_a_429_without_a_time_asks_for_the_endpoints_own_interval_and_holds_others_back():
    async with serving(says(raw(429))) as server, speaking(server.url, pace={"create": 20.0}) as wire:
        with pytest.raises(RateLimited) as caught:
            await wire.change(CHANGE, mapping)
        assert caught.value.retry_after_seconds >= 20
        with pytest.raises(RateLimited):
            await wire.change(CHANGE, mapping)
        assert server.turns == 1


async def test_every_http_call_is_counted_by_outcome():
    seen: list[tuple[str, str, str]] = []
    answers = says(raw(429, b"", "Retry-After: 0"), raw(200, b"{}"), raw(500))
    count = lambda *facts: seen.append(facts[:3])  # noqa: E731 - one line of counting
    async with serving(answers) as server, speaking(server.url, total_seconds=10, on_call=count) as wire:
        await wire.read(READ, mapping)
        with pytest.raises(OutcomeUnknown):
            await wire.change(CHANGE, mapping)
    assert seen == [
        ("test", "get_machine", "rate_limited"),
        ("test", "get_machine", "ok"),
        ("test", "create", "outcome_unknown"),
    ]


async def test_a_cancelled_call_ends_and_is_counted():
    seen: list[str] = []
    async with (
        serving(silence) as server,
        speaking(
            server.url, first_byte_seconds=30, total_seconds=30, on_call=lambda *facts: seen.append(facts[2])
        ) as wire,
    ):
        task = asyncio.create_task(wire.change(CHANGE, mapping))
        await server.met.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert seen == ["cancelled"]


async def test_the_key_travels_in_its_header_and_bodies_are_json():
    heads: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(8))
        writer.write(raw(200, b"{}"))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server, speaking(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as wire:
        await wire.change(CHANGE, mapping)
    sent = heads[0].lower()
    assert b"authorization: bearer secret\r\n" in sent
    assert b"content-type: application/json\r\n" in sent
    assert sent.endswith(b'{"a": 1}')


async def test_a_cloud_may_want_its_key_bare_in_a_header_of_its_own():
    heads: list[httpx.Headers] = []

    def answer(request: httpx.Request) -> httpx.Response:
        heads.append(request.headers)
        return httpx.Response(200, json={})

    dialect = Dialect("cloud", lambda _call, _reply: None, {}, key_header="api_key")
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        wire = Wire(dialect, base_url="http://x.test", api_key="secret", client=client, options=WireOptions())
        await wire.read(READ, mapping)
    assert heads[0]["api_key"] == "secret"
    assert "Authorization" not in heads[0]
