import io
import json
import logging
import subprocess
import sys

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from app.kit.log import HIDDEN, LogFile, cleaned, configure_logs, hide_secrets

KEY = "hg_live_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN"
PEM = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\nAAAA\n-----END OPENSSH PRIVATE KEY-----"


@pytest.fixture
def lines():
    """What is logged in this test, as objects."""
    sink = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure_logs(process="test", sink=sink)
    yield lambda: [json.loads(line) for line in sink.getvalue().splitlines()]
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"key {KEY} used", KEY),
        ("Authorization: Bearer abcdef0123456789", "abcdef0123456789"),
        ("postgresql://user:pa55-word@host/db", "pa55-word"),
        ("sk_test_51Habcdefghijklmnop", "51Habcdefghijklmnop"),
        ("whsec_abcdefghijklmnop", "abcdefghijklmnop"),
        ("password=correct-horse", "correct-horse"),
        ('{"api_key": "correct-horse"}', "correct-horse"),
        ("token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl", "eyJzdWIiOiIxMjM0In0"),
        ("f" * 64, "f" * 64),
        (PEM, "b3BlbnNzaC1rZXk"),
        (PEM[:60], "b3Blbn"),
    ],
)
def test_what_looks_like_a_key_is_hidden(text, secret):
    assert secret not in hide_secrets(text)
    assert HIDDEN in hide_secrets(text)


@pytest.mark.parametrize(
    "text",
    [
        "rent_01M7Y28TT06GP10VMY84GNVEXA provisioning",
        "key_01M7Y28TT06GP10VMY84GNVEXA",
        "GET /v1/rentals 200",
        "http://127.0.0.1:8000/v1",
        "bearer token missing",
    ],
)
def test_what_is_no_secret_stays(text):
    assert hide_secrets(text) == text


@pytest.mark.parametrize(
    "name", ["password", "api_key", "Authorization", "client_secret", "secrets", "token", "private_key", "set_cookie"]
)
def test_value_under_a_secrets_name_is_hidden_whatever_it_is(name):
    assert cleaned(None, "", {"outer": {name: ["plain"]}, name: "plain"}) == {"outer": {name: HIDDEN}, name: HIDDEN}


def test_ids_and_counts_are_not_hidden_by_their_names():
    event = {"key_id": "key_1", "account_id": "acct_1", "tokens": 5, "keys": 2}
    assert cleaned(None, "", dict(event)) == event


def test_a_digest_is_told_under_the_name_of_one_alone():
    digest = "0f" * 32
    assert cleaned(None, "info", {"hash": digest})["hash"] == digest
    assert cleaned(None, "info", {"head": digest})["head"] == HIDDEN
    assert KEY not in str(cleaned(None, "info", {"hash": KEY}))


def test_line_is_json_with_level_time_and_process(lines):
    structlog.get_logger("x").info("thing.done", rental_id="rent_1", nothing=None)
    (line,) = lines()
    assert line["event"] == "thing.done"
    assert line["rental_id"] == "rent_1"
    assert line["process"] == "test"
    assert line["level"] == "info"
    assert line["timestamp"].endswith("Z")
    assert "nothing" not in line


def test_other_libraries_log_into_the_same_lines(lines):
    logging.getLogger("some.library").warning("careful with %s", KEY)
    (line,) = lines()
    assert line["event"] == f"careful with {HIDDEN}"
    assert line["logger"] == "some.library"


def test_exception_is_told_without_the_secret_in_it(lines):
    try:
        int(f"refused {KEY}")
    except ValueError:
        structlog.get_logger().exception("failed")
    (line,) = lines()
    assert "ValueError" in line["exception"]
    assert KEY not in json.dumps(line)


def test_size_of_a_line_is_bounded(lines):
    deep: object = "x"
    for _ in range(50):
        deep = {"in": deep}
    structlog.get_logger().info(
        "big",
        text="y" * 1_000_000,
        many=list(range(10_000)),
        deep=deep,
        wide={str(number): "z" * 1000 for number in range(1000)},
    )
    (line,) = lines()
    assert len(json.dumps(line)) < 20_000


def test_event_that_can_not_be_shown_does_not_raise(lines):
    class Broken:
        def __str__(self):
            raise RuntimeError

    structlog.get_logger().info("odd", value=Broken(), bytes=b"\xff", surrogate="\ud800")
    assert len(lines()) == 1


@given(
    st.recursive(
        st.text() | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_anything_can_be_logged_as_json(value):
    json.dumps(cleaned(None, "", {"event": "x", "value": value}))


def test_file_is_put_aside_when_it_has_grown(tmp_path):
    path = tmp_path / "a.log"
    log = LogFile(path, bytes_max=100)
    for number in range(30):
        log.write(f"line {number}\n")
    log.close()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.log", "a.log.1"]
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 220


def test_full_disk_stops_nobody():
    program = (
        "from app.kit.log import configure_logs\nimport structlog\n"
        "configure_logs(process='x', sink=open('/dev/full', 'w', buffering=1))\n"
        "structlog.get_logger().info('lost')\nprint('went on')\nimport os; os._exit(0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\nsys.stdout.reconfigure(line_buffering=True)\n{program}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "went on\n"
