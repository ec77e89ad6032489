from __future__ import annotations

import asyncio
import json
from contextlib import suppress

import httpx
import pytest
import structlog

_HEAD = b"PUT /v1/plain HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer secret\r\nContent-Type: application/json\r\n"


async def _exchange(port, *parts, pause=0.0):
    """Send parts until the server closes, and return all it answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = bytearray()
    listening = asyncio.create_task(_listen(reader, answer))
    try:
        with suppress(ConnectionError):
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(pause)
        await asyncio.wait_for(listening, timeout=10)
    finally:
        writer.close()
    return bytes(answer)


async def _listen(reader, answer):
    with suppress(ConnectionError):
        while chunk := await reader.read(65536):
            answer += chunk


def _status(raw):
    return int(raw.split(b" ", 2)[1])


def _problem(raw):
    return json.loads(raw.partition(b"\r\n\r\n")[2])


async def test_answers_carry_the_security_headers(client):
    told = await client.get("/v1/things/x")
    assert told.headers["x-content-type-options"] == "nosniff"
    assert told.headers["cache-control"] == "no-store"
    assert told.headers["referrer-policy"] == "no-referrer"


def _body(size):
    return b'{"name": "' + b"x" * (size - 12) + b'"}'


async def test_a_body_at_the_limit_is_read_and_one_byte_more_is_refused(port):
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        headers = {"Authorization": "Bearer secret", "Content-Type": "application/json"}
        assert (await http.put("/v1/plain", content=_body(1000), headers=headers)).status_code == 422
        told = await http.put("/v1/plain", content=_body(1001), headers=headers)
        assert (told.status_code, told.json()["code"]) == (413, "body_too_large")
        assert told.headers["connection"] == "close"


async def test_a_chunked_body_without_end_is_cut_at_the_limit(port):
    chunk = b"64\r\n" + b" " * 100 + b"\r\n"
    raw = await _exchange(port, _HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 20, pause=0.01)
    assert _status(raw) == 413


async def test_an_announced_giant_is_refused_before_it_comes(port):
    raw = await _exchange(port, _HEAD + b"Content-Length: 200000000\r\n\r\n")
    assert _status(raw) == 413


async def test_half_a_body_is_not_waited_for(port):
    raw = await _exchange(port, _HEAD + b"Content-Length: 100\r\n\r\n{")
    assert (_status(raw), _problem(raw)["code"]) == (408, "request_timeout")


async def test_a_dripping_body_does_not_win_time(port):
    chunks = [b"1\r\n \r\n"] * 20
    raw = await _exchange(port, _HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *chunks, pause=0.05)
    assert _status(raw) == 408


async def test_an_endpoint_past_its_deadline_is_told_as_504(port):
    raw = await _exchange(port, b"GET /v1/things/slow HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer secret\r\n\r\n")
    assert (_status(raw), _problem(raw)["code"]) == (504, "deadline_exceeded")
    assert _problem(raw)["retryable"] is True


async def test_one_event_per_request_with_ids_and_nothing_that_was_sent(client, state):
    caller = state.caller("hg_live_CANARYSECRET")
    headers = {"Authorization": "Bearer hg_live_CANARYSECRET", "Content-Type": "application/json"}
    with structlog.testing.capture_logs() as logs:
        answers = [
            await client.put("/v1/plain?q=CANARYQUERY", content=b'{"name": "CANARYBODY"}', headers=headers),
            await client.get("/v1/things/CANARYPATH", headers={"Authorization": "Bearer CANARYGUESS"}),
            await client.put("/v1/plain", content=b'{"name": 5, "CANARY": 1}', headers=headers),
            await client.get("/v1/things/broken", headers=headers),
            await client.get("/CANARYUNKNOWN"),
        ]
    assert "CANARY" not in json.dumps(logs)
    told = {entry["request_id"]: entry for entry in logs if entry["event"] == "request"}
    # The server of another scene may still be ending a request of its own.
    mine = [told[answer.headers["x-request-id"]] for answer in answers]
    assert [entry["status"] for entry in mine] == [200, 401, 422, 500, 404]
    first = mine[0]
    assert (first["method"], first["route"], first["code"]) == ("PUT", "/v1/plain", None)
    assert (first["account_id"], first["key_id"]) == (caller.account_id, caller.key_id)
    assert first["request_id"].startswith("req_")


async def test_requests_are_counted_by_template_method_and_status(client, registry):
    await client.get("/v1/things/a")
    await client.get("/v1/things/b")
    await client.get("/v1/unknown-a")
    await client.request("BREW", "/v1/unknown-b")

    def value(**labels):
        return registry.get_sample_value("hourglass_http_requests_total", labels)

    assert value(method="GET", route="/v1/things/{thing_id}", status="200") == 2
    assert value(method="GET", route="unmatched", status="404") == 1
    assert value(method="OTHER", route="unmatched", status="404") == 1
    seconds = {"method": "GET", "route": "/v1/things/{thing_id}"}
    assert registry.get_sample_value("hourglass_http_request_seconds_count", seconds) == 2


@pytest.mark.parametrize("garbage", [b"\x00\x01\x02\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"PUT\r\n\r\n"])
async def test_noise_does_not_hurt_others(port, garbage):
    await _exchange(port, garbage)
    raw = await _exchange(
        port, b"GET /v1/things/x HTTP/1.1\r\nHost: t\r\nConnection: close\r\nAuthorization: Bearer secret\r\n\r\n"
    )
    assert _status(raw) == 200
