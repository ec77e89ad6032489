import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from app.kit.embedded_postgres import EmbeddedPostgres

from .conftest import begin, environment, free_ports, hourglass, running

linux = pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks at /proc")


def ended(process):
    """Wait until a process that must not come up has ended; return what it wrote."""
    out, err = process.communicate(timeout=60)
    assert out == ""
    return process.returncode, err


def test_one_line_of_json_says_all_that_a_script_needs(service):
    assert service.url == f"http://127.0.0.1:{service.port}"
    assert service.sandbox_url == f"http://127.0.0.1:{service.port + 1}"
    assert service.api_key.startswith("hg_live_")
    assert 0 < service.ready_seconds < 60


def test_first_request_is_served_and_finds_something_to_rent(service):
    with service.api() as api:
        listings = api.get("/v1/listings", params={"family": "rtx-4090"})
    assert listings.status_code == 200
    assert listings.json()["data"]


def test_demo_account_begins_with_fifty_dollars(service):
    with service.api() as api:
        movements = api.get("/v1/billing/ledger", params={"limit": 200}).raise_for_status().json()["data"]
        assert "available" in api.get("/v1/wallet").raise_for_status().json()
    assert (movements[-1]["seq"], movements[-1]["kind"]) == (1, "adjustment_credit")
    assert float(movements[-1]["amount"]) == 50


def test_secrets_are_for_their_owner_alone_and_in_no_log(service):
    for name in ("secret", "demo.json", "platform_ssh_key"):
        assert (service.home / name).stat().st_mode & 0o077 == 0
    secret = (service.home / "secret").read_text().strip()
    for log in (service.home / "log").iterdir():
        assert secret not in log.read_text()
        assert service.api_key not in log.read_text()


def test_starting_twice_names_the_process_and_leaves_it_alone(service):
    status, said = ended(begin(service.home, free_ports()))
    assert status == 1
    assert str(service.process.pid) in said
    assert "HOURGLASS_HOME" in said
    assert httpx.get(f"{service.url}/readyz").status_code == 200


def test_taken_port_is_named_before_anything_starts(place):
    first = free_ports()
    for taken in (first, first + 1):
        with socket.socket() as other:
            other.bind(("127.0.0.1", taken))
            other.listen()
            status, said = ended(begin(place / "home", first))
        assert status == 1
        assert f"Port {taken}" in said
        assert "HOURGLASS_PORT" in said
    assert not (place / "home" / "postgres").exists()


def test_unusable_setting_is_named_without_its_value(place):
    done = hourglass("up", HOURGLASS_HOME=str(place), HOURGLASS_PORT="http")
    assert done.returncode == 2
    assert "HOURGLASS_PORT" in done.stderr
    done = hourglass("up", HOURGLASS_HOME=str(place), HOURGLASS_SECRET="tooshort")
    assert done.returncode == 2
    assert "HOURGLASS_SECRET" in done.stderr
    assert "tooshort" not in done.stderr


def test_full_disk_is_told_and_breaks_nothing(place):
    port = free_ports()
    process = subprocess.Popen(
        ["/bin/sh", "-c", f'ulimit -f 6000; exec "{sys.executable}" -m app up --json'],
        env=environment(HOURGLASS_HOME=str(place / "home"), HOURGLASS_PORT=str(port)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    status, said = ended(process)
    assert status == 1
    assert "No room" in said
    with running(place / "home", port) as service, service.api() as api:
        assert api.get("/v1/account").status_code == 200


def test_first_start_does_without_the_process_that_makes_the_schema_meanwhile(place):
    (place / "home" / "log" / "migrations.log").mkdir(parents=True)  # it has nowhere to write, and ends
    with running(place / "home", free_ports()) as service, service.api() as api:
        assert api.get("/v1/account").status_code == 200


@linux
@pytest.mark.parametrize("after", [0, 0.5, 1.2])
def test_first_start_that_is_told_to_stop_ends_clean_and_the_next_one_serves(place, after):
    port = free_ports()
    process = begin(place / "home", port)
    while not descendants(process.pid):
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(after)
    pids = descendants(process.pid)
    process.send_signal(signal.SIGINT)
    assert ended(process)[0] == 0
    assert not alive(pids)
    with running(place / "home", port) as service, service.api() as api:
        assert api.get("/v1/account").status_code == 200


def test_home_that_is_a_file_is_told(place):
    (place / "home").write_text("")
    status, said = ended(begin(place / "home", free_ports()))
    assert status == 1
    assert "HOURGLASS_HOME" in said


@linux
def test_after_kill_nothing_is_left_and_the_next_start_goes_on_with_the_same_key(place):
    port = free_ports()
    with running(place / "home", port) as service:
        pids = descendants(service.process.pid)
        assert len(pids) >= 4
        service.process.kill()
        service.process.wait()
        before = service
    with running(place / "home", port) as service:
        assert not alive(pids)
        assert service.api_key == before.api_key
        with service.api() as api:
            assert api.get("/v1/account").status_code == 200
        pids = descendants(service.process.pid)
        assert service.stop() == 0
        assert service.process.stdout.read() == ""
        assert not alive(pids)


@linux
def test_child_that_dies_is_started_again_and_no_request_is_refused(place):
    with running(place / "home", free_ports()) as service, service.api() as api:
        for _ in range(2):
            os.kill(child_named(service, "api"), signal.SIGKILL)
            time.sleep(0.1)
            assert api.get("/readyz").status_code == 200
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(timeout=30) == 0
        assert "is started again" in service.process.stderr.read()


async def test_database_url_names_the_server_that_is_used(place):
    server = await EmbeddedPostgres.start(place / "elsewhere")
    try:
        with running(place / "home", free_ports(), DATABASE_URL=server.admin_url) as service:
            with service.api() as api:
                assert api.get("/v1/account").status_code == 200
            assert not (service.home / "postgres").exists()
    finally:
        await server.stop()


def test_database_url_that_does_not_answer_is_told(place):
    nowhere = f"postgresql://nobody:hidden-word@127.0.0.1:{free_ports()}/none"
    status, said = ended(begin(place / "home", free_ports(), DATABASE_URL=nowhere))
    assert status == 1
    assert "DATABASE_URL" in said
    assert "hidden-word" not in said


def test_lines_for_people_work_when_pasted(service):
    from app.cli.announcing import curl_lines

    for line in curl_lines(service.url, service.api_key):
        done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, timeout=30, check=True)
        assert "object" in json.loads(done.stdout), done.stdout


def descendants(pid):
    """Return the ids of all processes below one."""
    found, todo = set(), [pid]
    while todo:
        parent = todo.pop()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) not in found and _parent(entry) == parent:
                found.add(int(entry.name))
                todo.append(int(entry.name))
    return found


def alive(pids):
    """Return those that still run after a little patience."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        left = [pid for pid in pids if _state(pid) not in (None, "Z")]
        if not left:
            return []
        time.sleep(0.05)
    return left


def child_named(service, name):
    """Return the id of the process that serves the API: the child that holds its listening socket and its log."""
    log = (service.home / "log" / f"{name}.log").resolve()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for pid in descendants(service.process.pid):
            try:
                if Path(f"/proc/{pid}/fd/1").resolve() == log:
                    return pid
            except OSError:
                continue
        time.sleep(0.05)
    raise AssertionError(f"no {name}")


def _parent(entry):
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError):
        return None


def _state(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return None
