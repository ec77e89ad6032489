import asyncio

import asyncssh
import pytest


async def test_a_vast_machine_goes_from_null_over_created_and_loading_to_running(slow_world, clock):
    _, vast, _ = slow_world
    one = await vast.rented()
    seen = []
    for seconds in (0, 15, 15, 40):
        await clock.advance(seconds)
        row = await vast.show(one) if seconds != 40 else await vast.reaches(one, "running")
        seen.append((row["actual_status"], row["intended_status"], "ports" in row))
    assert seen == [
        (None, "running", False),
        ("created", "running", False),
        ("loading", "running", False),
        ("running", "running", True),
    ]


async def test_a_lambda_machine_tells_its_address_late_and_stays_listed_after_its_end(slow_world, clock, until):
    _, _, lambda_ = slow_world
    await lambda_.add_key()
    number = await lambda_.launched()
    assert "ip" not in await lambda_.get(number)
    await clock.advance(40)
    early = await lambda_.get(number)
    assert (early["status"], early["ip"].startswith("127.77.")) == ("booting", True)
    await clock.advance(30)
    assert (await lambda_.reaches(number, "active"))["ip"] == early["ip"]
    await lambda_.terminate(number)
    row = await lambda_.get(number)
    assert row["status"] == "terminating"
    assert row["actions"]["terminate"]["reason_code"] == "vm-is-terminating"
    await asyncio.sleep(0.3)
    await clock.advance(5)
    await lambda_.reaches(number, "terminated")
    assert (await lambda_.terminate(number)).status_code == 404
    await asyncio.sleep(0.3)
    await clock.advance(60)

    async def gone():
        return await lambda_.get(number) is None

    await until(gone)


async def test_what_is_rented_is_off_the_market_until_it_ends(sandbox, vast, lambda_):
    offer = await vast.cheapest()
    (await vast.rent(offer)).raise_for_status()
    assert offer["id"] not in [row["id"] for row in await vast.search()]
    assert (await vast.rent(offer)).status_code == 410
    await vast.http.delete(f"/api/v0/instances/{sandbox.truth[0].id}/")
    assert (await vast.cheapest())["id"] == offer["id"]
    await lambda_.add_key()
    (kind, region), launched = await lambda_.available(), []
    while (await lambda_.available()) == (kind, region):
        launched.append(await lambda_.launched())
    body = {"instance_type_name": kind, "region_name": region, "ssh_key_names": ["k1"]}
    full = await lambda_.http.post("/api/v1/instance-operations/launch", json=body)
    assert full.json()["error"]["code"] == "instance-operations/launch/insufficient-capacity"
    await lambda_.terminate(launched[0])
    await lambda_.reaches(launched[0], "terminated")
    assert (await lambda_.available()) == (kind, region)


async def test_a_stopped_machine_keeps_its_files_and_gives_its_gpu_to_whoever_comes(sandbox, vast):
    offer = await vast.cheapest()
    one = (await vast.rent(offer)).json()["new_contract"]
    await vast.reaches(one, "running")
    await vast.http.put(f"/api/v0/instances/{one}/", json={"state": "stopped"})
    row = await vast.reaches(one, "exited")
    assert (row["cur_state"], "ports" in row) == ("stopped", False)
    other = (await vast.rent(offer)).raise_for_status().json()["new_contract"]
    await vast.http.put(f"/api/v0/instances/{one}/", json={"state": "running"})
    row = await vast.show(one)
    assert (row["intended_status"], row["actual_status"]) == ("running", "exited")
    await vast.http.delete(f"/api/v0/instances/{other}/")
    await vast.reaches(one, "running")


async def test_an_outbid_machine_stops_until_the_bid_is_raised(sandbox, vast):
    offer = (await vast.search(type="bid", disk_space={"gte": 100}))[0]
    one = (await vast.rent(offer, price=offer["min_bid"])).json()["new_contract"]
    await vast.reaches(one, "running")
    sandbox.accidents.outbid(str(one))
    row = await vast.reaches(one, "stopped")
    assert [row[key] for key in ("cur_state", "next_state", "intended_status")] == ["stopped"] * 3
    await vast.http.put(f"/api/v0/instances/{one}/", json={"state": "running"})
    assert (await vast.show(one))["actual_status"] == "stopped"
    await vast.http.put(f"/api/v0/instances/bid_price/{one}/", json={"client_id": "me", "price": row["min_bid"]})
    await vast.reaches(one, "running")


async def test_a_machine_that_is_preempted_is_told_when_works_until_then_and_is_gone(sandbox, vast):
    one = await vast.rented()
    before = await vast.reaches(one, "running")
    assert before["end_date"] - before["start_date"] >= 5 * 86_400
    sandbox.accidents.preempt(str(one), notice_seconds=0.3)
    row = await vast.show(one)
    assert (row["actual_status"], row["end_date"] - before["start_date"] < 60) == ("running", True)
    await asyncio.sleep(0.5)
    assert await vast.show(one) is None
    [truth] = sandbox.truth
    assert truth.ended_at is not None


async def test_only_a_running_spot_machine_can_be_outbid(sandbox, vast):
    one = await vast.rented()
    with pytest.raises(LookupError):
        sandbox.accidents.outbid(str(one))
    with pytest.raises(LookupError):
        sandbox.accidents.vanish("7")


async def test_a_gpu_can_fall_off_the_bus_of_a_machine_in_use(sandbox, vast):
    key = asyncssh.generate_private_key("ssh-ed25519")
    text = key.export_public_key().decode().strip()
    await vast.http.post("/api/v0/ssh/", json={"ssh_key": text})
    one = await vast.rented()
    row = await vast.reaches(one, "running")
    async with asyncssh.connect(
        row["ssh_host"], row["ssh_port"], username="root", client_keys=[key], known_hosts=None, config=[]
    ) as ssh:
        assert (await ssh.run("nvidia-smi")).exit_status == 0
        sandbox.accidents.kill_gpu(str(one))
        assert (await ssh.run("nvidia-smi")).exit_status != 0
        assert "Xid" in (await ssh.run("dmesg")).stdout


async def test_a_broken_host_is_offline_or_unhealthy(sandbox, vast, lambda_):
    await lambda_.add_key()
    one, two = await vast.rented(), await lambda_.launched()
    await vast.reaches(one, "running")
    await lambda_.reaches(two, "active")
    sandbox.accidents.fail(str(one))
    sandbox.accidents.fail(two)
    assert (await vast.show(one))["actual_status"] == "offline"
    assert (await lambda_.get(two))["status"] == "unhealthy"


async def test_truth_bills_the_gpu_while_it_runs_and_the_disk_from_create_to_end(slow_world, clock):
    sandbox, vast, _ = slow_world
    one = await vast.rented()
    await clock.advance(60)
    await vast.reaches(one, "running")
    await clock.advance(3600)
    await vast.http.put(f"/api/v0/instances/{one}/", json={"state": "stopped"})
    await vast.reaches(one, "exited")
    await clock.advance(7200)
    await vast.http.delete(f"/api/v0/instances/{one}/")
    [row] = sandbox.truth
    hours = (row.ended_at - row.created_at).total_seconds() / 3600
    assert row.gpu_seconds == 3600
    assert row.cost_micros == row.price_micros_per_hour + int(row.disk_micros_per_hour * hours)


async def test_closing_ends_every_machine_and_leaves_no_home(sandbox, vast, lambda_):
    await lambda_.add_key()
    one, two = await vast.rented(), await lambda_.launched()
    row = await vast.reaches(one, "running")
    await lambda_.reaches(two, "active")
    await vast.rented()
    home = sandbox._home
    assert home.name in {path.name for path in home.parent.iterdir()}
    await sandbox.aclose()
    assert home.name not in {path.name for path in home.parent.iterdir()}
    with pytest.raises(OSError):  # noqa: PT011 - refused
        await asyncio.open_connection(row["ssh_host"], row["ssh_port"])


async def test_a_host_may_die_while_its_cloud_calls_it_running(sandbox, vast, until):
    one = await vast.rented()
    row = await vast.reaches(one, "running")
    sandbox.accidents.silence(str(one))

    async def silent():
        try:
            _, writer = await asyncio.open_connection(row["ssh_host"], row["ssh_port"])
        except OSError:
            return True
        writer.close()
        return False

    await until(silent)
    after = await vast.show(one)
    assert (after["actual_status"], after["ports"]) == ("running", row["ports"])


async def test_a_machine_stopped_and_started_in_one_breath_comes_back(sandbox, vast):
    one = await vast.rented()
    await vast.reaches(one, "running")
    for state in ("stopped", "running", "stopped", "running"):
        await vast.http.put(f"/api/v0/instances/{one}/", json={"state": state})
    row = await vast.reaches(one, "running")
    reader, writer = await asyncio.open_connection(row["ssh_host"], row["ssh_port"])
    assert (await reader.readline()).startswith(b"SSH-2.0")
    writer.close()
    await writer.wait_closed()
