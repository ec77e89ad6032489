"""Speaking with a mail server: encryption, sign-in, refusals, silence."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from urllib.parse import quote

import pytest

from app.mail import Smtp
from app.mail.errors import Deferred, Refused

from .conftest import PASSWORD, USER

SIGNED_IN = f"{USER}:{quote(PASSWORD, safe='')}@"


def signed_in(url):
    return url.replace("://", f"://{SIGNED_IN}")


@pytest.mark.parametrize(
    ("url", "host", "port", "tls", "starttls", "user", "password"),
    [
        ("smtp://mail.example.com", "mail.example.com", 25, False, "offered", None, None),
        ("smtp://mail.example.com:2525/", "mail.example.com", 2525, False, "offered", None, None),
        ("smtp://u%40x:p%3Aw%2F@mail.example.com", "mail.example.com", 587, False, "required", "u@x", "p:w/"),
        ("smtp://u:p@[::1]", "::1", 587, False, "offered", "u", "p"),
        ("smtp://u:p@127.0.0.1:2525?starttls=never", "127.0.0.1", 2525, False, "never", "u", "p"),
        ("smtp://mail.example.com?starttls=required", "mail.example.com", 25, False, "required", None, None),
        ("smtps://u:p@mail.example.com", "mail.example.com", 465, True, "required", "u", "p"),
    ],
)
def test_a_url_says_everything(url, host, port, tls, starttls, user, password):
    smtp = Smtp.from_url(url)
    assert (smtp.host, smtp.port, smtp.tls, smtp.user, smtp.password) == (host, port, tls, user, password)
    assert tls or smtp.starttls == starttls
    assert "p:w/" not in repr(smtp)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mail.example.com",
        "http://secret@mail.example.com",
        "smtp://",
        "smtp://:secret@",
        "smtp://mail.example.com:secret",
        "smtp://mail.example.com:70000",
        "smtp://mail.example.com/secret",
        "smtp://mail.example.com?secret=1",
        "smtp://mail.example.com?starttls=secret",
        "smtps://mail.example.com?starttls=never",
        "smtp://user:secret@mail.example.com?starttls=offered",
        "smtp://user:secret@mail.example.com?starttls=never",
        "smtp://[secret",
    ],
)
def test_a_url_that_can_not_be_is_refused_and_not_repeated(url):
    with pytest.raises(ValueError, match=r"must|has") as caught:
        Smtp.from_url(url)
    assert "secret" not in str(caught.value)


async def test_a_letter_arrives_as_it_was_written(mailer, letter):
    written = letter(text="Grüße.\n.\n..dots\nFrom here\n" + "x" * 1_500 + "\n")
    assert await Smtp.from_url(mailer.url).deliver(written) == "sent"
    [taken] = mailer.taken
    assert (taken.sender, taken.to) == ("billing@example.com", ["ada@example.com"])
    assert taken.content == written.as_bytes()
    assert taken.message.get_content().replace("\r\n", "\n") == written.text
    assert max(map(len, taken.content.split(b"\r\n"))) <= 998
    assert taken.content.isascii()
    assert mailer.commands == ["MAIL", "RCPT", "DATA", "QUIT"]


async def test_what_is_offered_is_used_and_what_is_required_is_insisted_on(serve, certificate, letter):
    ca, context = certificate
    offering, plain = await serve(starttls=context), await serve()
    for wish in ("offered", "required"):
        await Smtp.from_url(f"{offering.url}?starttls={wish}&ca={ca}").deliver(letter())
    await Smtp.from_url(f"{offering.url}?starttls=never").deliver(letter())
    assert [taken.encrypted for taken in offering.taken] == [True, True, False]
    await Smtp.from_url(f"{plain.url}?starttls=offered").deliver(letter())
    with pytest.raises(Deferred, match="STARTTLS"):
        await Smtp.from_url(f"{plain.url}?starttls=required").deliver(letter())
    assert len(plain.taken) == 1


async def test_tls_from_the_start_is_spoken(serve, certificate, letter):
    ca, context = certificate
    mailer = await serve(tls=context)
    url = mailer.url.replace("smtp://", "smtps://")
    await Smtp.from_url(f"{url}?ca={ca}").deliver(letter())
    assert [taken.encrypted for taken in mailer.taken] == [True]


@pytest.mark.parametrize("kind", ["tls", "starttls"])
async def test_a_certificate_of_a_stranger_is_not_trusted(serve, certificate, letter, kind):
    mailer = await serve(**{kind: certificate[1]})
    url = mailer.url.replace("smtp://", "smtps://") if kind == "tls" else mailer.url
    with pytest.raises(Deferred, match=r"(?i)certificate"):
        await Smtp.from_url(signed_in(url)).deliver(letter())
    assert mailer.taken == []


async def test_a_name_and_a_password_sign_in(serve, certificate, letter):
    ca, context = certificate
    mailer = await serve(starttls=context, auth_required=True)
    await Smtp.from_url(f"{signed_in(mailer.url)}?ca={ca}&starttls=required").deliver(letter())
    assert [(taken.signed_in, taken.encrypted) for taken in mailer.taken] == [(True, True)]


async def test_a_wrong_password_is_for_the_operator_to_mend(serve, certificate, letter):
    ca, context = certificate
    mailer = await serve(starttls=context, auth_required=True)
    wrong = mailer.url.replace("://", f"://{USER}:wrongwrong@")
    with pytest.raises(Deferred, match="535") as caught:
        await Smtp.from_url(f"{wrong}?ca={ca}&starttls=required").deliver(letter())
    assert "wrongwrong" not in caught.value.reason
    with pytest.raises(Deferred, match="530"):
        await Smtp.from_url(f"{mailer.url}?ca={ca}").deliver(letter())
    assert mailer.taken == []


@pytest.mark.parametrize(
    ("command", "said", "outcome"),
    [
        ("MAIL", "421 too busy", Deferred),
        ("MAIL", "550 not a sender of ours", Deferred),
        ("RCPT", "451 greylisted", Deferred),
        ("RCPT", "452 too many", Deferred),
        ("RCPT", "550 no such user", Refused),
        ("RCPT", "553 no such name", Refused),
        ("DATA", "452 disk full", Deferred),
        ("DATA", "554 spam", Refused),
        ("DATA", "552 too large", Refused),
    ],
)
async def test_a_refusal_is_final_when_it_is_about_the_letter(mailer, letter, command, said, outcome):
    mailer.says[command] = [said]
    with pytest.raises(outcome) as caught:
        await Smtp.from_url(mailer.url).deliver(letter())
    assert caught.value.reason == said
    assert mailer.taken == []


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
async def test_a_server_that_falls_silent_is_left(mailer, letter, command):
    mailer.hang_at = command
    with pytest.raises(Deferred):
        await Smtp.from_url(mailer.url, deadline_seconds=0.3).deliver(letter())


@asynccontextmanager
async def answering(answer):
    async def on_connection(reader, writer):
        try:
            await answer(reader, writer)
        finally:
            writer.close()

    listening = await asyncio.start_server(on_connection, "127.0.0.1", 0)
    try:
        yield f"smtp://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        listening.close()
        await asyncio.sleep(0.02)


async def _drip(reader, writer):
    """Keep every single wait short, so that only a deadline over everything ends it."""
    writer.write(b"220 mail.example.com\r\n")
    await reader.readline()
    while True:
        writer.write(b"250-x\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)


async def _nothing(reader, writer):
    await reader.read()


async def _nonsense(reader, writer):
    writer.write(b"\x00\xff HTTP/1.1 200 OK\r\n\r\n")
    await reader.read()


async def _busy(reader, writer):
    writer.write(b"554 no service for you\r\n")
    await reader.read()


@pytest.mark.parametrize("answer", [_drip, _nothing, _nonsense, _busy])
async def test_a_server_that_is_none_costs_no_more_than_the_deadline(letter, answer):
    async with answering(answer) as url:
        with pytest.raises(Deferred):
            async with asyncio.timeout(5):
                await Smtp.from_url(url, deadline_seconds=0.4).deliver(letter())


async def test_nobody_there_is_told(letter):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(Deferred, match="connecting"):
            await Smtp.from_url(f"smtp://127.0.0.1:{taken.getsockname()[1]}").deliver(letter())


async def test_a_letter_that_was_taken_is_sent_whatever_becomes_of_the_goodbye(mailer, letter):
    mailer.says["QUIT"] = ["421 you again"]
    assert await Smtp.from_url(mailer.url).deliver(letter()) == "sent"
    mailer.hang_at = "QUIT"
    assert await Smtp.from_url(mailer.url, deadline_seconds=5).deliver(letter()) == "sent"
    assert len(mailer.taken) == 2


async def test_a_letter_whose_taking_nobody_confirmed_is_not_said_to_be_sent(mailer, letter):
    mailer.cut_after_data = 1
    with pytest.raises(Deferred):
        await Smtp.from_url(mailer.url).deliver(letter())
    assert len(mailer.taken) == 1
