"""Letters: nothing that a value holds becomes a header, a recipient or another line."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.parser import BytesParser
from email.policy import SMTP as SMTP_POLICY

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.mail import BadAddressError, Letter, Mailbox
from app.mail.wording import _TOLD, TEMPLATES, worded

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HEADERS = ["Date", "From", "To", "Subject", "Message-ID", "Auto-Submitted", "Content-Type", "Content-Transfer-Encoding", "MIME-Version"]  # fmt: skip
EVIL = ["x\r\nBcc: thief@example.com", "x\n\nHello", "x\rBcc: y", "\x00", "\u202egnp.exe", "\x85Bcc: z", "\u2028Bcc: q"]
OPTIONAL = {
    "inviter": "Ada",
    "last4": "4242",
    "payment_id": "pay_01",
    "refund_id": "rfd_01",
    "dispute_id": "dsp_01",
    "receipt_url": "https://pay.example.com/receipts/1",
    "next_try_at": "2026-03-01T13:00:00.000Z",
    "expires_at": "2026-03-02T12:00:00.000Z",
    "due_by": "2026-03-09",
    "available": "12.50",
    "owed": "3.00",
    "threshold": "5.00",
    "burn_per_hour": "2.80",
    "runway": "2026-03-01T13:30:00.000Z",
    "event_id": "evt_01",
    "webhook_id": "whk_01",
    "failing_since": "2026-03-01T12:00:00.000Z",
    "percent": "90",
    "period": "monthly",
    "limit": "300.00",
    "spent": "270.00",
    "until": "2026-03-02T00:00:00.000Z",
    "name": "research",
    "crosses_at": "2026-03-01T18:00:00.000Z",
    "because": "its monthly budget is used up",
    "subject": "team_01",
    "asker": "Ada",
    "actor": "Grace",
}
NEEDED = {
    "account_name": "Lab",
    "page": "https://api.example.com/accept",
    "role": "member",
    "token": "hgi-x",
    "expires_at": "2026-03-08T12:00:00.000Z",
    "amount": "25.00",
    "available": "30.00",
    "reason": "insufficient_funds",
    "url": "https://pay.example.com/c/1",
    "owed": "4.20",
    "outcome": "won",
    "happened": "threshold",
    "rental_id": "rent_01",
    "subject": "team_01",
    "webhook_id": "whk_01",
    "failing_since": "2026-03-01T12:00:00.000Z",
    "request_id": "chg_01",
    "team_id": "team_01",
}


def letter_of(template, data, **changed):
    wording = worded(template, {"account_id": "acct_1"} | data)
    known = {"sender": Mailbox("billing@example.com", "Hourglass"), "to": Mailbox.of("ada@example.com")} | changed
    return Letter(
        message_id="<mail_1@example.com>", written_at=START, subject=wording.subject, text=wording.text, **known
    )


def parsed(letter):
    return BytesParser(policy=SMTP_POLICY).parsebytes(letter.as_bytes())


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("more", [{}, OPTIONAL], ids=["the least", "everything"])
def test_every_mail_reads_well(template, more):
    data = more | {name: NEEDED[name] for name in _TOLD[template]}
    wording = worded(template, {"account_id": "acct_1"} | data)
    assert wording.subject.strip() == wording.subject != ""
    assert len(wording.subject) < 78
    for name in _TOLD[template] - {"reason", "outcome", "happened"}:
        assert data[name] in wording.subject + wording.text
    assert "acct_1" in wording.text
    assert "None" not in wording.text
    assert "{" not in wording.text
    assert "_" not in re.sub("acct_1|(chg|pay|rfd|dsp|evt|whk|rent|team)_01", "", wording.text)
    assert "\n\n\n" not in wording.text
    assert wording.text.endswith("\n")


@pytest.mark.parametrize("template", TEMPLATES)
def test_what_a_mail_can_not_do_without_is_missed(template):
    needed = {name: NEEDED[name] for name in _TOLD[template]}
    for name in needed:
        with pytest.raises(ValueError, match=name):
            worded(template, needed | {name: None})


@pytest.mark.parametrize("evil", EVIL)
@pytest.mark.parametrize("template", TEMPLATES)
def test_a_value_stays_within_its_line(template, evil):
    data = dict.fromkeys([*OPTIONAL, *NEEDED], evil)
    harmless = letter_of(template, dict.fromkeys([*OPTIONAL, *NEEDED], "x"))
    letter = letter_of(template, data)
    message = parsed(letter)
    assert sorted(message.keys()) == sorted(HEADERS)
    assert message["To"] == "ada@example.com"
    assert len(letter.text.splitlines()) == len(harmless.text.splitlines())
    assert all(line.isprintable() for line in letter.text.splitlines())


@given(st.text(max_size=200), st.text(max_size=60))
@settings(max_examples=100, deadline=None)
def test_whatever_is_said_the_message_has_one_head_and_reads_back(value, name):
    data = {"amount": value or "x", "available": value or "x", "last4": value}
    letter = letter_of(
        "deposit_received", data, sender=Mailbox("billing@example.com", "".join(filter(str.isprintable, name)))
    )
    raw = letter.as_bytes()
    message = parsed(letter)
    assert raw.isascii()
    assert sorted(message.keys()) == sorted(HEADERS)
    assert str(message["Subject"]).split() == letter.subject.split()
    assert message.get_content().replace("\r\n", "\n") == letter.text
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert b"\r" not in raw.replace(b"\r\n", b"")


def test_the_same_letter_is_the_same_bytes():
    first, again = (letter_of("debt", {"owed": "4.20", "reason": "dispute"}).as_bytes() for _ in range(2))
    assert first == again
    assert b"Message-ID: <mail_1@example.com>\r\n" in first
    assert b"Date: Sun, 01 Mar 2026 12:00:00 +0000\r\n" in first
    assert b"Auto-Submitted: auto-generated\r\n" in first


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ada",
        "@example.com",
        "ada@",
        "ada@example.com,bob@example.com",
        "ada@example.com bob@example.com",
        "ada@example.com\nBcc: bob@example.com",
        "ada@example.com\r\n",
        "<ada@example.com>",
        '"ada b"@example.com',
        "ada(comment)@example.com",
        "ada@[127.0.0.1]",
        "ada@-example.com",
        "ada@example..com",
        "a..b@example.com",
        ".ada@example.com",
        "ädä@example.com",
        "ada@exa\u2028mple.com",
        "a" * 65 + "@example.com",
        "ada@" + ".".join(["x" * 60] * 5),
    ],
)
def test_what_is_no_single_plain_address_is_refused(address):
    with pytest.raises(BadAddressError):
        Mailbox.of(address)


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ("ada@example.com", "ada@example.com"),
        ("Ada.Love+tag@Example.com", "Ada.Love+tag@Example.com"),
        ("root@localhost", "root@localhost"),
        ("ada@müller.example", "ada@xn--mller-kva.example"),
    ],
)
def test_a_plain_address_is_taken(given, plain):
    assert Mailbox.of(given).address == plain


def test_a_sender_has_a_name_and_an_address():
    sender = Mailbox.parse("Hourglass <billing@localhost>")
    assert (sender.name, sender.address, sender.domain) == ("Hourglass", "billing@localhost", "localhost")
    assert Mailbox.parse("billing@localhost").name == ""
    for text in ("", "Hourglass", "Hourglass <>", "A\x00B <a@b.example>"):
        with pytest.raises(BadAddressError):
            Mailbox.parse(text)
