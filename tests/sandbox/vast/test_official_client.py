"""The official Vast client, as published, in a process of its own with a home of its own."""

import asyncio
import json
import os
import sys

import asyncssh
import pytest

PRELUDE = """
import json, sys
from vastai import VastAI
v = VastAI(api_key=sys.argv[2], server_url=sys.argv[1])
show = lambda value: print(json.dumps(value))
"""


FORKS = """
import json, os, sys
from vastai.cli.main import main
for line in sys.stdin:
    words, *told = json.loads(line)
    if (child := os.fork()) == 0:
        for number, path in enumerate(told, start=1):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.argv = ["vastai", *words]
        sys.exit(main())
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def environment(home):
    return {"PATH": os.environ["PATH"], "HOME": str(home), "VASTAI_NO_UPDATE_CHECK": "1", "PYTHONUTF8": "1"}


async def run(*command, home):
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        env=environment(home),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 120)
    return process.returncode, out.decode(), err.decode()


@pytest.fixture
def sdk(sandbox, tmp_path):
    """Run Python against the SDK's ``v``; what it shows comes back as values."""

    async def call(code, key=None):
        key = key or sandbox.config.vast_key
        code, out, err = await run(sys.executable, "-c", PRELUDE + code, sandbox.url, key, home=tmp_path)
        assert code == 0, err
        return [json.loads(line) for line in out.splitlines()]

    return call


@pytest.fixture(scope="module")
async def typed(tmp_path_factory):
    """Run the command line again and again, each time in a process of its own that needs not import it first."""
    home = tmp_path_factory.mktemp("home")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        FORKS,
        env=environment(home),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )

    async def typing(*words):
        told = [home / "out", home / "err"]
        process.stdin.write(json.dumps([words, *map(str, told)]).encode() + b"\n")
        code = int(await asyncio.wait_for(process.stdout.readline(), 120))
        return code, *(path.read_text() for path in told)

    yield typing
    process.stdin.close()
    await asyncio.wait_for(process.communicate(), 120)


@pytest.fixture
def cli(sandbox, typed):
    async def call(*words):
        return await typed(*words, "--url", sandbox.url, "--api-key", sandbox.config.vast_key)

    return call


async def test_the_sdk_goes_through_an_on_demand_life(sdk, sandbox):
    found, created, shown, listed, charged, gone, ended = await sdk("""
import time
offers = v.search_offers("gpu_name=RTX_4090 num_gpus=1 reliability>0.98 disk_space>=100", order="dph_total", limit=3)
show([[o["gpu_name"], o["num_gpus"], o["dph_total"]] for o in offers])
made = v.create_instance(offers[0]["id"], image="ubuntu:22.04", disk=20, label="own-1", env="-e A=1 -p 8000:8000",
                         ssh=True, direct=True, cancel_unavail=True)
show(made)
one = made["new_contract"]
for _ in range(200):
    row = v.show_instance(one)
    if row["actual_status"] == "running":
        break
    time.sleep(0.05)
show([row["label"], row["extra_env"], row["ports"]["22/tcp"][0]["HostPort"], row["ssh_port"], v.ssh_url(one)])
show([[r["id"], r["label"]] for r in v.show_instances()])
time.sleep(1.1)
bill = v.show_invoices_v1(charges=True, charge_type=["instance"])
show([[r["source"], r["metadata"], r["amount"] > 0, [i["type"] for i in r["items"]]] for r in bill["results"]])
show(v.destroy_instance(one))
show(v.show_instance(one))
""")
    one = created["new_contract"]
    assert [row[:2] for row in found] == [["RTX 4090", 1]] * 3
    assert [row[2] for row in found] == sorted(row[2] for row in found)
    assert shown[0] == "own-1"
    assert shown[1]["A"] == "1"
    assert shown[2] == str(shown[3])
    assert shown[4] == f"ssh://root@127.0.0.1:{shown[3]}"
    assert listed == [[one, "own-1"]]
    assert charged == [[f"instance-{one}", {"label": "own-1"}, True, ["disk", "gpu"]]]
    assert gone["success"] is True
    assert ended is None
    assert [(row.id, row.marker, row.status) for row in sandbox.truth] == [(str(one), "own-1", "gone")]


async def test_the_sdk_bids_stops_starts_labels_and_changes_its_bid(sdk, sandbox):
    bid, stopped, started, labelled, rebid = await sdk("""
import time
def wait(one, status):
    for _ in range(200):
        row = v.show_instance(one)
        if row["actual_status"] == status:
            return row
        time.sleep(0.05)
    raise SystemExit(f"never {status}: {row}")
offer = v.search_offers("num_gpus=1 disk_space>=100", type="bid", order="dph_total", limit=1)[0]
one = v.create_instance(offer["id"], image="ubuntu:22.04", disk=20, bid_price=offer["min_bid"] * 1.2)["new_contract"]
row = wait(one, "running")
show([row["is_bid"], offer["is_bid"], row["dph_base"] > offer["dph_base"]])
v.stop_instance(one); row = wait(one, "exited")
show([row["cur_state"], row["intended_status"], row.get("ports")])
v.start_instance(one); row = wait(one, "running")
show(row["cur_state"])
v.label_instance(one, "renamed")
show(v.show_instance(one)["label"])
v.change_bid(one, 0.5)
show(v.show_instance(one)["dph_base"])
v.destroy_instance(one)
""")
    assert bid == [True, True, True]
    assert stopped == ["stopped", "stopped", None]
    assert started == "running"
    assert labelled == "renamed"
    assert rebid == 0.5
    assert sandbox.truth[0].spot


async def test_the_sdk_keeps_keys_of_the_account_and_of_one_instance(sdk, sandbox):
    account, attached = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    texts = [key.export_public_key().decode().strip() for key in (account, attached)]
    made, listed, one, address, emptied = await sdk(f"""
import time
made = v.create_ssh_key({texts[0]!r})
show(made["key"]["public_key"])
show([k["key"] for k in v.show_ssh_keys()])
offer = v.search_offers("num_gpus=1 disk_space>=100", order="dph_total", limit=1)[0]
one = v.create_instance(offer["id"], image="ubuntu:22.04", disk=20)["new_contract"]
for _ in range(200):
    row = v.show_instance(one)
    if row["actual_status"] == "running":
        break
    time.sleep(0.05)
v.attach_ssh(one, {texts[1]!r})
show(one)
show([row["public_ipaddr"], row["ports"]["22/tcp"][0]["HostPort"]])
v.delete_ssh_key(made["key"]["id"])
show(v.show_ssh_keys())
""")
    assert made == texts[0]
    assert listed == [texts[0]]
    assert emptied == []
    assert sandbox.truth[0].id == str(one)
    for key in (account, attached):
        async with asyncssh.connect(
            address[0], int(address[1]), username="root", client_keys=[key], known_hosts=None, config=[]
        ) as ssh:
            smi = await ssh.run("nvidia-smi --query-gpu=name --format=csv,noheader", check=True)
            assert smi.stdout.strip() == sandbox.truth[0].gpu_name


async def test_the_command_line_searches_creates_shows_and_destroys(cli):
    code, out, err = await cli("search", "offers", "num_gpus=1 gpu_name=RTX_3090", "--raw", "--storage", "20")
    assert code == 0, err
    offers = json.loads(out)
    assert {offer["gpu_name"] for offer in offers} == {"RTX 3090"}
    code, out, err = await cli("search", "offers", "num_gpus>=4 reliability>0.9", "--new", "--raw")
    assert code == 0, err
    assert all(offer["num_gpus"] >= 4 for offer in json.loads(out))
    code, out, err = await cli("search", "offers", "gpu_name=H100_SXM")
    assert code == 0, err
    assert "H100_SXM" in out
    words = ("--image", "ubuntu:22.04", "--disk", "20", "--label", "own-1", "--ssh", "--direct", "--raw")
    offer = next(offer for offer in offers if offer["disk_space"] >= 100)
    code, out, err = await cli("create", "instance", str(offer["id"]), *words)
    assert code == 0, err
    one = json.loads(out)["new_contract"]
    code, out, err = await cli("show", "instances", "--raw")
    assert [row["id"] for row in json.loads(out)] == [one]
    code, out, err = await cli("show", "instances", "--label", "own-1", "-q")
    assert code == 0, err
    assert str(one) in out
    code, out, err = await cli("destroy", "instance", str(one), "-y")
    assert code == 0, err
    code, out, err = await cli("show", "instances", "--raw")
    assert json.loads(out) == []


async def test_the_command_line_shows_the_books(cli):
    code, out, err = await cli("show", "invoices-v1", "--charges", "--raw")
    assert code == 0, err
    assert json.loads(out) == {"success": True, "count": 0, "total": 0, "next_token": None, "results": []}
    code, out, err = await cli("show", "user", "--raw")
    assert code == 0, err
    assert json.loads(out)["credit"] == 1000.0


async def test_the_command_line_tells_why_an_offer_can_not_be_had(cli, vast):
    taken = await vast.cheapest(num_gpus={"eq": 1})
    (await vast.rent(taken)).raise_for_status()
    _, _, err = await cli("create", "instance", str(taken["id"]), "--image", "ubuntu:22.04", "--disk", "20")
    assert "410" in err
    assert "no_such_ask" in err
    _, _, err = await cli("create", "instance", "7", "--image", "ubuntu:22.04", "--disk", "20")
    assert "404/3603: no_such_ask" in err


async def test_the_sdk_repeats_after_a_plain_text_429(sdk, sandbox):
    from app.sandbox import Fault

    sandbox.faults.add(Fault("rate_limited", "account", times=2))
    [email] = await sdk('show(v.show_user()["email"])')
    assert email == "sandbox@example.com"
    assert [call.status for call in sandbox.calls if call.operation == "account"] == [429, 429, 200]


async def test_the_sdk_is_told_that_its_key_is_wrong(sdk):
    [status] = await sdk(
        """
import requests
try:
    v.show_user()
except requests.HTTPError as error:
    show([error.response.status_code, error.response.json()["error"]])
""",
        key="wrong",
    )
    assert status == [404, "auth_error"]
