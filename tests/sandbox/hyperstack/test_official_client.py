"""Hyperstack's published client, generated from its own API description: strict about every field's type."""

import asyncio
import time

import asyncssh
import pytest

from tests.importing import LateModule

hyperstack = LateModule("hyperstack")

DEFAULT = "default-CANADA-1"


class Official:
    """The client's APIs on one connection pool; what it does blocks, so it is called in a thread."""

    def __init__(self, host: str, key: str) -> None:
        self.client = hyperstack.ApiClient(hyperstack.Configuration(host=host, api_key={"apiKey": key}))
        self.machines = hyperstack.VirtualMachineApi(self.client)
        self.keys = hyperstack.KeypairApi(self.client)
        self.environments = hyperstack.EnvironmentApi(self.client)
        self.billing = hyperstack.BillingApi(self.client)

    def create(self, **more: object):
        rule = hyperstack.CreateSecurityRulePayload(
            direction="ingress", ethertype="IPv4", protocol="tcp", remote_ip_prefix="0.0.0.0/0", port_range_min=22,
            port_range_max=22,
        )  # fmt: skip
        wanted = {
            "name": "own-1", "environment_name": DEFAULT, "image_name": "Ubuntu Server 22.04 LTS R535 CUDA 12.2",
            "flavor_name": "n3-A100x1", "key_name": "k1", "count": 1, "assign_floating_ip": True,
            "enable_port_randomization": False, "labels": ["own-1"], "security_rules": [rule],
            "user_data": "#cloud-config",
        }  # fmt: skip
        return self.machines.create_vms(hyperstack.CreateInstancesPayload(**{**wanted, **more})).instances[0]

    def ready(self, public_key: str = "ssh-ed25519 AAAAC3Nz k1") -> None:
        self.environments.create_environment(hyperstack.CreateEnvironment(name=DEFAULT, region="CANADA-1"))
        payload = hyperstack.ImportKeypairPayload(name="k1", environment_name=DEFAULT, public_key=public_key)
        self.keys.import_key_pair(payload)

    def reaches(self, number: int, status: str):
        for _ in range(400):
            row = self.machines.get_vm(number).instance
            if row.status == status:
                return row
            time.sleep(0.03)
        raise AssertionError(f"never {status}: {row.status}")


@pytest.fixture
async def official(sandbox):
    official = Official(f"{sandbox.url}/v1", sandbox.config.hyperstack_key)
    yield official
    official.client.rest_client.pool_manager.clear()


async def test_it_reads_flavors_prices_stocks_regions_and_images(official):
    def read():
        groups = hyperstack.FlavorApi(official.client).list_flavors().data
        flavors = {(row.name, row.region_name): row for group in groups for row in group.flavors}
        prices = {row.name: row for row in hyperstack.PricebookApi(official.client).get_pricebook()}
        stocks = {row.region: row for row in hyperstack.StockApi(official.client).get_gpu_stock().stocks}
        regions = [row.name for row in hyperstack.RegionApi(official.client).list_regions().regions]
        images = hyperstack.ImageApi(official.client).list_images(region="NORWAY-1").images
        return flavors, prices, stocks, regions, images

    flavors, prices, stocks, regions, images = await asyncio.to_thread(read)
    flavor = flavors["n3-H100x1", "CANADA-1"]
    assert (flavor.gpu, flavor.gpu_count, flavor.cpu, flavor.ram, flavor.disk) == ("H100-80G-PCIe", 1, 28, 180, 100)
    assert flavor.features["no_hibernation"] is False
    assert prices[flavor.gpu].value == 2.5
    assert flavors["n3-H100x1-spot", "US-1"].gpu in prices
    models = {row.model: row for row in stocks["CANADA-1"].models}
    assert models["H100-80G-PCIe"].configurations.var_1x > 0
    assert regions == ["CANADA-1", "NORWAY-1", "US-1"]
    assert {group.region_name for group in images} == {"NORWAY-1"}
    assert all(image.is_public for group in images for image in group.images)


async def test_it_creates_logs_in_and_deletes(official, sandbox):
    key = asyncssh.generate_private_key("ssh-ed25519")

    def live():
        official.ready(key.export_public_key().decode())
        made = official.create()
        assert made.status == "CREATING"
        return official.reaches(made.id, "ACTIVE")

    row = await asyncio.to_thread(live)
    assert (row.name, row.labels, row.keypair.name, row.environment.region) == ("own-1", ["own-1"], "k1", "CANADA-1")
    assert (row.floating_ip_status, row.flavor.gpu_count, row.port_randomization) == ("ATTACHED", 1, False)
    async with asyncssh.connect(
        row.floating_ip, sandbox.config.ssh_port, username="ubuntu", client_keys=[key], known_hosts=None, config=[]
    ) as ssh:
        assert "A100" in (await ssh.run("nvidia-smi -L", check=True)).stdout

    def end():
        label = hyperstack.EditLabelOfAnExistingVMPayload(labels=["renamed"])
        official.machines.add_vm_label(row.id, label)
        assert official.machines.get_vm(row.id).instance.labels == ["renamed"]
        [listed] = official.machines.list_vms(page=1, page_size=10, search="own").instances
        assert listed.id == row.id
        assert official.machines.check_vm_name_availability("own-1").available is False
        official.machines.delete_vm(row.id)
        assert official.machines.get_vm(row.id).instance.status == "DELETING"
        for _ in range(200):
            try:
                official.machines.get_vm(row.id)
            except hyperstack.exceptions.NotFoundException as gone:
                return gone
            time.sleep(0.03)
        raise AssertionError("it never ended")

    assert "not_found" in (await asyncio.to_thread(end)).body


async def test_it_stops_starts_reboots_hibernates_and_restores(official, sandbox):
    def live():
        official.ready()
        number = official.create().id
        first = official.reaches(number, "ACTIVE")
        official.machines.stop_vm(number)
        official.reaches(number, "SHUTOFF")
        official.machines.start_vm(number)
        official.reaches(number, "ACTIVE")
        official.machines.hard_reboot_vm(number)
        assert official.machines.get_vm(number).instance.status == "REBOOTING"
        official.reaches(number, "ACTIVE")
        official.machines.hibernate_vm(number)
        assert official.machines.get_vm(number).instance.status == "HIBERNATING"
        saved = official.reaches(number, "HIBERNATED")
        official.machines.restore_vm_from_hibernation(number)
        assert official.machines.get_vm(number).instance.status == "RESTORING"
        second = official.reaches(number, "ACTIVE")
        official.machines.hibernate_vm(number, retain_ip="true")
        kept = official.reaches(number, "HIBERNATED")
        return first.floating_ip, saved.floating_ip, second.floating_ip, kept.floating_ip

    first, saved, second, kept = await asyncio.to_thread(live)
    assert saved is None
    assert first != second == kept
    assert sandbox.truth[0].status == "hibernated"


async def test_it_reads_the_books(official, sandbox):
    def live():
        official.ready()
        number = official.create().id
        official.reaches(number, "ACTIVE")
        time.sleep(1.2)
        period = {"start_date": "2020-01-01T00:00:00", "end_date": "2099-01-01T00:00:00"}
        [row] = official.billing.get_vm_billing_history(**period, search="own-1").billing_history_vm.billing_history
        details = official.billing.get_vm_billing_details(number, **period)
        [detail] = details.billing_history_vm_details.billing_history
        [event] = official.billing.get_vm_billing_events(number).billing_events_history
        return number, row, detail, event

    number, row, detail, event = await asyncio.to_thread(live)
    assert (row.attributes.infrahub_id, row.attributes.resource_name) == (number, "own-1")
    assert row.attributes.status == "ACTIVE"
    assert 0 < row.metrics.incurred_bill <= sandbox.truth[0].cost_micros / 1_000_000
    assert detail.metrics.usage_time_active > 0
    assert detail.metrics.usage_time_hibernated == 0
    assert event.event == "ACTIVE"


async def test_its_errors_are_typed(official, sandbox):
    def fail():
        official.ready()
        official.create()
        errors = {}
        for name, call in {
            "again": official.create,
            "flavor": lambda: official.create(name="own-2", flavor_name="n9"),
            "stop": lambda: official.machines.stop_vm(400_001),
            "missing": lambda: official.machines.delete_vm(1),
            "key": official.ready,
            "stock": lambda: official.create(name="own-3", flavor_name="n3-A100x8"),
        }.items():
            if name == "stock":
                sandbox.change_offer("n3-A100x8:CANADA-1", "withdraw")
            with pytest.raises(hyperstack.ApiException) as caught:
                call()
            errors[name] = caught.value
        stranger = Official(f"{sandbox.url}/v1", "wrong")
        with pytest.raises(hyperstack.exceptions.UnauthorizedException):
            stranger.machines.list_vms()
        stranger.client.rest_client.pool_manager.clear()
        return errors

    errors = await asyncio.to_thread(fail)
    assert (errors["again"].status, errors["key"].status) == (409, 409)
    assert isinstance(errors["flavor"], hyperstack.exceptions.NotFoundException)
    assert isinstance(errors["missing"], hyperstack.exceptions.NotFoundException)
    assert isinstance(errors["stop"], hyperstack.exceptions.BadRequestException)
    assert "stock" in errors["stock"].body
    assert len(sandbox.truth) == 1
