"""The way out: to public addresses alone, whatever names say and when they say it; bounded whatever a receiver does."""

from __future__ import annotations

import asyncio
import ssl
import time

import pytest

from app.kit.destinations import RefusedDestination, Rules
from app.kit.egress import ANSWER_BYTES_MAX, Egress, Lookup, Unreachable, context_trusting
from app.kit.public_addresses import networks
from tests.kit.test_public_addresses import NOT_PUBLIC, tunnelled
from tests.receiving import new_authority, receiving

HERE = networks(["127.0.0.1/32"])
BODY = b'{"a":1}'


class Names:
    """A resolver that says what a test wants, one answer after the other and then the last for ever."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    async def __call__(self, host, port):
        self.asked.append(host)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return new_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def trusting(authority):
    return context_trusting(authority.file)


@pytest.fixture
async def receiver(authority):
    async with receiving(authority.server) as opened:
        yield opened


@pytest.fixture
def egress(trusting):
    def opening(*answers, allowed=HERE):
        return Egress(Rules(allowed), trusting, Names(*answers or (["127.0.0.1"],)))

    return opening


def post(egress, url, **options):
    return egress.post(url, headers={"webhook-id": "evt_1"}, content=BODY, **options)


async def test_a_request_arrives_whole_and_its_answer_comes_back(egress, receiver):
    receiver.answer = b"HTTP/1.1 202 Accepted\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nfine"
    reply = await post(egress(), receiver.url(path="/in?a=b"))
    assert (reply.status, reply.body, reply.headers["retry-after"]) == (202, b"fine", "7")
    [request] = receiver.requests
    assert (request.line, request.body) == ("POST /in?a=b HTTP/1.1", BODY)
    assert request.headers["host"] == f"hooks.example.com:{receiver.port}"
    assert request.headers["webhook-id"] == "evt_1"


@pytest.mark.parametrize("address", [*NOT_PUBLIC, *tunnelled("127.0.0.1"), *tunnelled("169.254.169.254")])
async def test_a_name_of_an_address_that_is_not_public_is_not_connected_to(egress, receiver, address):
    with pytest.raises(RefusedDestination, match="not public") as refused:
        await post(egress([address], allowed=()), receiver.url())
    assert address not in refused.value.reason
    assert receiver.connections == 0


async def test_one_address_that_is_not_public_spoils_them_all(egress, receiver):
    for answer in (["8.8.8.8", "127.0.0.1"], ["127.0.0.1", "8.8.8.8"], ["8.8.8.8", "not an address"], ["127.1"]):
        with pytest.raises(RefusedDestination):
            await post(egress(answer, allowed=()), receiver.url())
    assert receiver.connections == 0


async def test_a_name_that_changes_is_judged_each_time_and_looked_up_once(egress, receiver):
    way = egress(["127.0.0.1"], ["169.254.169.254"])
    assert (await post(way, receiver.url("a.rebinding.example.net"))).status == 200
    assert way.resolve.asked == ["a.rebinding.example.net"]
    with pytest.raises(RefusedDestination):
        await post(way, receiver.url("a.rebinding.example.net"))
    assert receiver.connections == 1


async def test_where_a_connection_really_ends_is_judged_again(egress, receiver):
    class Turning(Rules):
        """Allows an address before the connection stands, and no more once it does."""

        asked = 0

        def allow(self, address):
            Turning.asked += 1
            return Turning.asked == 1

    way = egress()
    way.rules = Turning()
    with pytest.raises(RefusedDestination, match="not public"):
        await post(way, receiver.url())
    assert receiver.requests == []


async def test_a_redirect_is_an_answer_and_followed_by_nobody(egress, receiver, authority):
    async with receiving(authority.server) as inner:
        for location in (inner.url(), "https://169.254.169.254/latest/meta-data", "/elsewhere"):
            receiver.answer = f"HTTP/1.1 307 Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
            assert (await post(egress(), receiver.url())).status == 307
        assert inner.connections == 0
    assert len(receiver.requests) == 3


async def test_the_proxies_of_the_environment_are_not_heeded(egress, receiver, monkeypatch):
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert (await post(egress(), receiver.url())).status == 200


async def test_the_certificate_is_checked_against_the_name(egress, receiver):
    with pytest.raises(Unreachable, match="certificate is not trusted"):
        await post(egress(), receiver.url("hooks.example.org"))
    stranger = Egress(Rules(HERE), context_trusting(None), Names(["127.0.0.1"]))
    with pytest.raises(Unreachable, match="certificate is not trusted"):
        await post(stranger, receiver.url())
    assert (await post(egress(), receiver.url("127.0.0.1"))).status == 200
    assert len(receiver.requests) == 1


async def test_an_address_in_the_url_is_looked_up_by_nobody(egress, receiver):
    way = egress()
    await post(way, receiver.url("127.0.0.1"))
    assert way.resolve.asked == []
    with pytest.raises(RefusedDestination):
        await post(egress(allowed=()), receiver.url("127.0.0.1"))


async def test_a_server_without_tls_gets_nothing(egress):
    async with receiving(None) as plain:
        with pytest.raises(Unreachable):
            await post(egress(), plain.url(), deadline_seconds=0.5)
        assert plain.requests == []


@pytest.mark.parametrize("failure", [OSError("no such name"), []])
async def test_a_name_without_an_address_is_unreachable(egress, receiver, failure):
    with pytest.raises(Unreachable):
        await post(egress(failure), receiver.url())


async def test_the_next_address_is_tried_where_one_does_not_answer(egress, receiver):
    way = egress(["127.0.0.9", "127.0.0.1"], allowed=networks(["127.0.0.0/8"]))
    assert (await post(way, receiver.url())).status == 200


async def test_a_receiver_that_hangs_or_drips_is_left_at_the_deadline(egress, receiver):
    async def drip(writer, _request):
        writer.write(b"HTTP/1.1 200 OK\r\n")
        for n in range(100):
            writer.write(f"X-{n}: y\r\n".encode())
            await writer.drain()
            await asyncio.sleep(0.05)

    async def drip_body(writer, _request):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(100):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    async def hang(_writer, _request):
        await asyncio.sleep(30)

    for receiver.answer in (drip, drip_body, hang):
        began = time.monotonic()
        with pytest.raises(Unreachable, match=r"within 0\.4 seconds"):
            await post(egress(), receiver.url(), deadline_seconds=0.4)
        assert time.monotonic() - began < 2


async def test_of_an_endless_answer_no_more_is_read_than_kept(egress, receiver):
    sent = 0

    async def pour(writer, _request):
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        for _ in range(1_000):
            writer.write(b"x" * 65_536)
            sent += 65_536
            await writer.drain()

    receiver.answer = pour
    reply = await post(egress(), receiver.url())
    assert (reply.status, len(reply.body)) == (200, ANSWER_BYTES_MAX)
    assert sent < 20_000_000


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9\r\n",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 300_000 + b"\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 3,
    ],
)
async def test_what_is_no_http_is_no_answer(egress, receiver, answer):
    receiver.answer = answer
    with pytest.raises(Unreachable):
        await post(egress(), receiver.url(), deadline_seconds=2)


async def test_one_thread_looks_a_name_up_however_many_ask():
    lookup = Lookup()
    found = await asyncio.gather(*(lookup("localhost", 443) for _ in range(50)))
    assert {address for one in found for address in one} <= {"127.0.0.1", "::1"}
    assert len(lookup._threads._threads) <= 2
    with pytest.raises(OSError, match=r"\S"):
        await lookup("no-such-name.invalid", 443)
    lookup.close()


def test_another_authority_is_one_more():
    context = context_trusting(None)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
