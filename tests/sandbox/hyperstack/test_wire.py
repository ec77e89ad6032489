"""What Hyperstack's wire promises beyond what its client asks for."""

import asyncio

import asyncssh
import httpx
import pytest

from app.sandbox import Fault


async def test_the_key_has_a_header_of_its_own(sandbox):
    key = sandbox.config.hyperstack_key
    async with httpx.AsyncClient(base_url=f"{sandbox.url}/v1") as http:
        assert (await http.get("/core/flavors", headers={"api_key": key})).status_code == 200
        for headers in ({}, {"api_key": "wrong"}, {"Authorization": f"Bearer {key}"}):
            refused = await http.get("/core/flavors", headers=headers)
            assert (refused.status_code, refused.json()["error_reason"]) == (401, "unauthorized")
            assert refused.json()["status"] is False


async def test_the_price_book_is_a_bare_array_and_everything_else_has_an_envelope(hyperstack):
    assert isinstance((await hyperstack.http.get("/pricebook")).json(), list)
    for path in ("/core/flavors", "/core/stocks", "/core/regions", "/core/images", "/core/environments"):
        assert (await hyperstack.http.get(path)).json()["status"] is True


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "x" * 51},
        {"name": ""},
        {"count": "1"},
        {"count": True},
        {"assign_floating_ip": "true"},
        {"flavor_name": None},
        {"labels": "own-1"},
        {"security_rules": [{"direction": "ingress"}]},
        {"user_data": "x" * 65_536},
        {"surprise": 1},
    ],
)
async def test_a_wrong_create_is_refused_and_makes_nothing(sandbox, hyperstack, wrong):
    await hyperstack.ready()
    answer = await hyperstack.create(**wrong)
    assert (answer.status_code, answer.json()["error_reason"]) == (400, "bad_request")
    assert sandbox.truth == []


@pytest.mark.parametrize(
    "unknown", [{"environment_name": "default-US-1"}, {"key_name": "k2"}, {"flavor_name": "n9"}, {"image_name": "x"}]
)
async def test_what_a_create_names_must_be_there(sandbox, hyperstack, unknown):
    await hyperstack.ready()
    assert (await hyperstack.create(**unknown)).status_code == 404
    assert sandbox.truth == []


async def test_a_name_is_free_again_once_its_machine_has_ended(hyperstack):
    await hyperstack.ready()
    number = await hyperstack.created()
    assert (await hyperstack.create()).json()["error_reason"] == "already_exist"
    await hyperstack.reaches(number, "ACTIVE")
    await hyperstack.http.delete(f"/core/virtual-machines/{number}")

    async def gone():
        return await hyperstack.get(number) is None

    await hyperstack.until(gone)
    assert (await hyperstack.create()).status_code == 200


@pytest.mark.parametrize(
    "shut",
    [
        {"security_rules": []},
        {"enable_port_randomization": True},
        {"security_rules": [{"direction": "ingress", "ethertype": "IPv4", "protocol": "tcp",
                             "remote_ip_prefix": "0.0.0.0/0", "port_range_min": 80, "port_range_max": 80}]},
    ],
)  # fmt: skip
async def test_without_a_rule_or_with_its_ports_moved_a_machine_lets_nobody_in(sandbox, hyperstack, shut):
    key = asyncssh.generate_private_key("ssh-ed25519")
    await hyperstack.ready(key.export_public_key().decode())
    row = await hyperstack.reaches(await hyperstack.created(**shut), "ACTIVE")
    with pytest.raises(ConnectionRefusedError):
        await asyncssh.connect(
            row["floating_ip"], sandbox.config.ssh_port, username="ubuntu", client_keys=[key], known_hosts=None
        )


async def test_without_a_public_address_none_is_told(hyperstack):
    await hyperstack.ready()
    row = await hyperstack.reaches(await hyperstack.created(assign_floating_ip=False), "ACTIVE")
    assert (row["floating_ip"], row["floating_ip_status"]) == (None, None)
    assert row["fixed_ip"].startswith("10.")


@pytest.mark.parametrize("deed", ["start", "hibernate-restore"])
async def test_a_deed_needs_its_state(hyperstack, deed):
    await hyperstack.ready()
    number = await hyperstack.created()
    await hyperstack.reaches(number, "ACTIVE")
    refused = await hyperstack.do(number, deed)
    assert (refused.status_code, refused.json()["error_reason"]) == (400, "bad_request")
    assert "ACTIVE" in refused.json()["message"]
    assert (await hyperstack.do(1, deed)).status_code == 404


async def test_some_flavors_do_not_hibernate(sandbox, hyperstack):
    await hyperstack.ready()
    able = {(offer["id"]): offer["hibernates"] for offer in sandbox.offers() if offer["provider"] == "hyperstack"}
    assert not able["n3-A100x1-spot:CANADA-1"]
    assert not able["n3-H100-SXM5x8:US-1"]
    assert able["n3-H100-SXM5x8:NORWAY-1"]
    number = await hyperstack.created(flavor_name="n3-A100x1-spot")
    await hyperstack.reaches(number, "ACTIVE")
    refused = await hyperstack.do(number, "hibernate")
    assert "support" in refused.json()["message"]
    assert sandbox.truth[0].spot


async def test_hibernation_gives_the_gpu_back_and_a_restore_takes_one_again(sandbox, hyperstack):
    def stock():
        return next(offer["stock"] for offer in sandbox.offers() if offer["id"] == "n3-A100x1:CANADA-1")

    await hyperstack.ready()
    before = stock()
    number = await hyperstack.created()
    await hyperstack.reaches(number, "ACTIVE")
    assert stock() == before - 1
    await hyperstack.do(number, "hibernate")
    await hyperstack.reaches(number, "HIBERNATED")
    assert stock() == before
    await hyperstack.do(number, "hibernate-restore")
    assert stock() == before - 1
    await hyperstack.reaches(number, "ACTIVE")
    await hyperstack.http.delete(f"/core/virtual-machines/{number}")
    await hyperstack.until(lambda: asyncio.sleep(0.02, sandbox.truth[0].ended_at))
    assert stock() == before


async def test_a_hibernated_machine_ends_without_giving_back_what_it_has_not(sandbox, hyperstack):
    before = sandbox.offers()
    await hyperstack.ready()
    number = await hyperstack.created()
    await hyperstack.reaches(number, "ACTIVE")
    await hyperstack.do(number, "hibernate")
    await hyperstack.reaches(number, "HIBERNATED")
    await hyperstack.http.delete(f"/core/virtual-machines/{number}")
    await hyperstack.until(lambda: asyncio.sleep(0.02, sandbox.truth[0].ended_at))
    assert sandbox.offers() == before


async def test_a_restore_is_refused_for_stock_in_words_alone(sandbox, hyperstack):
    await hyperstack.ready()
    number = await hyperstack.created()
    await hyperstack.reaches(number, "ACTIVE")
    await hyperstack.do(number, "hibernate")
    await hyperstack.reaches(number, "HIBERNATED")
    sandbox.faults.add(Fault("offer_drained", operation="start", provider="hyperstack"))
    refused = await hyperstack.do(number, "hibernate-restore")
    assert (refused.status_code, refused.json()["error_reason"]) == (400, "bad_request")
    assert "stock" in refused.json()["message"]


async def test_a_restore_may_be_taken_on_and_fail_without_costing_anything(sandbox, hyperstack):
    await hyperstack.ready()
    number = await hyperstack.created()
    await hyperstack.reaches(number, "ACTIVE")
    await hyperstack.do(number, "hibernate")
    await hyperstack.reaches(number, "HIBERNATED")
    sandbox.faults.add(Fault("offer_gone", operation="start", provider="hyperstack", mode="later"))
    assert (await hyperstack.do(number, "hibernate-restore")).status_code == 200
    assert (await hyperstack.get(number))["status"] == "RESTORING"
    await hyperstack.reaches(number, "ERROR")
    before = sandbox.truth[0].cost_micros
    await asyncio.sleep(1.1)
    assert sandbox.truth[0].cost_micros == before


async def test_lists_come_in_pages_of_no_more_than_the_cloud_likes(sandbox, hyperstack):
    await hyperstack.ready()
    sandbox.change_offer("n3-RTX-A4000x1:CANADA-1", "restore", stock=60)
    for number in range(3):
        await hyperstack.created(name=f"own-{number}", flavor_name="n3-RTX-A4000x1")
    page = (await hyperstack.http.get("/core/virtual-machines?page=2&pageSize=2")).json()
    assert (page["count"], page["page"], page["page_size"]) == (3, 2, 2)
    assert [row["name"] for row in page["instances"]] == ["own-2"]
    assert (await hyperstack.http.get("/core/virtual-machines?pageSize=1000")).json()["page_size"] == 50
    found = (await hyperstack.http.get("/core/virtual-machines?search=N-1")).json()["instances"]
    assert [row["name"] for row in found] == ["own-1"]


async def test_keys_belong_to_one_environment_and_an_environment_in_use_stays(hyperstack):
    await hyperstack.ready()
    await hyperstack.http.post("/core/environments", json={"name": "default-US-1", "region": "US-1"})
    key = {"name": "k1", "environment_name": "default-US-1", "public_key": "ssh-ed25519 AAAAC3Nz k1"}
    assert (await hyperstack.http.post("/core/keypairs", json=key)).status_code == 200
    assert (await hyperstack.http.post("/core/keypairs", json=key)).status_code == 409
    rows = (await hyperstack.http.get("/core/keypairs")).json()["keypairs"]
    assert [row["environment"]["name"] for row in rows] == ["default-CANADA-1", "default-US-1"]
    await hyperstack.created()
    environments = (await hyperstack.http.get("/core/environments")).json()["environments"]
    statuses = [(await hyperstack.http.delete(f"/core/environments/{row['id']}")).status_code for row in environments]
    assert statuses == [400, 200]
    assert len((await hyperstack.http.get("/core/keypairs")).json()["keypairs"]) == 1


async def test_an_environment_must_be_in_a_region_and_named_once(hyperstack):
    wrong = await hyperstack.http.post("/core/environments", json={"name": "x", "region": "MOON-1"})
    assert wrong.status_code == 400
    body = {"name": "x", "region": "US-1"}
    assert (await hyperstack.http.post("/core/environments", json=body)).status_code == 200
    assert (await hyperstack.http.post("/core/environments", json=body)).json()["error_reason"] == "already_exist"
