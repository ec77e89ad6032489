"""The published client that is generated from Lambda's own API description: strict about fields, enums and errors."""

import asyncssh
import pytest
from lambda_ai_cloud_api_client import AuthenticatedClient, models
from lambda_ai_cloud_api_client.api.images import list_images
from lambda_ai_cloud_api_client.api.instances import (
    get_instance,
    launch_instance,
    list_instance_types,
    list_instances,
    post_instance,
    restart_instance,
    terminate_instance,
)
from lambda_ai_cloud_api_client.api.ssh_keys import add_ssh_key, delete_ssh_key, list_ssh_keys


@pytest.fixture
async def client(sandbox):
    async with AuthenticatedClient(
        base_url=sandbox.url, token=sandbox.config.lambda_key, raise_on_unexpected_status=True
    ) as client:
        yield client


async def available(client):
    types = await list_instance_types.asyncio(client=client)
    for name, item in types.data.additional_properties.items():
        for region in item.regions_with_capacity_available:
            return name, region.name
    raise AssertionError("nothing is available")


async def launched(client, **more):
    kind, region = await available(client)
    await add_ssh_key.asyncio(client=client, body=models.AddSSHKeyRequest(name="k1"))
    body = models.InstanceLaunchRequest(
        region_name=region, instance_type_name=kind, ssh_key_names=["k1"], name="own-1", **more
    )
    return (await launch_instance.asyncio(client=client, body=body)).data.instance_ids[0]


@pytest.fixture
def reaches(client, until):
    async def ask(number, status):
        async def there():
            row = (await get_instance.asyncio(number, client=client)).data
            return row if row.status == status else None

        return await until(there)

    return ask


async def test_it_reads_every_type_region_and_image(client):
    types = (await list_instance_types.asyncio(client=client)).data.additional_properties
    assert types["gpu_8x_h100_sxm5"].instance_type.description == "8x H100 (80 GB SXM5)"
    assert types["gpu_8x_h100_sxm5"].instance_type.price_cents_per_hour == 3192
    assert types["gpu_8x_h100_sxm5"].instance_type.specs.gpus == 8
    assert sum(len(item.regions_with_capacity_available) for item in types.values()) > len(types)
    images = (await list_images.asyncio(client=client)).data
    assert {image.architecture for image in images} == {"x86_64", "arm64"}
    assert "lambda-stack-24-04" in {image.family for image in images}


async def test_it_goes_through_a_life(client, sandbox, reaches, until):
    tags = [models.RequestedTagEntry(key="owner", value="u1")]
    number = await launched(client, tags=tags, image=models.ImageSpecificationFamily(family="lambda-stack-22-04"))
    booting = (await get_instance.asyncio(number, client=client)).data
    assert booting.status == "booting"
    assert not booting.ip
    assert booting.actions.restart.reason_code == "vm-has-not-launched"
    active = await reaches(number, "active")
    assert active.ip.startswith("127.77.")
    assert active.tags[0].value == "u1"
    assert [row.id for row in (await list_instances.asyncio(client=client)).data] == [number]
    renamed = await post_instance.asyncio(number, client=client, body=models.InstanceModificationRequest(name="own-2"))
    assert renamed.data.name == "own-2"
    restarted = await restart_instance.asyncio(client=client, body=models.InstanceRestartRequest(instance_ids=[number]))
    assert restarted.data.restarted_instances[0].status == "booting"
    await reaches(number, "active")
    ended = await terminate_instance.asyncio(client=client, body=models.InstanceTerminateRequest(instance_ids=[number]))
    assert ended.data.terminated_instances[0].status == "terminating"
    await reaches(number, "terminated")

    async def unknown():
        answer = await get_instance.asyncio(number, client=client)
        return answer if isinstance(answer, models.GetInstanceResponse404) else None

    answer = await until(unknown)
    assert answer.error.code == "global/object-does-not-exist"
    assert sandbox.truth[0].marker == "own-2"


async def test_it_logs_in_with_the_key_that_was_made_for_it(client, sandbox, reaches):
    kind, region = await available(client)
    made = (await add_ssh_key.asyncio(client=client, body=models.AddSSHKeyRequest(name="k1"))).data
    body = models.InstanceLaunchRequest(region_name=region, instance_type_name=kind, ssh_key_names=["k1"])
    [number] = (await launch_instance.asyncio(client=client, body=body)).data.instance_ids
    row = await reaches(number, "active")
    key = asyncssh.import_private_key(made.private_key)
    async with asyncssh.connect(
        row.ip, sandbox.config.ssh_port, username="ubuntu", client_keys=[key], known_hosts=None, config=[]
    ) as ssh:
        smi = await ssh.run("nvidia-smi --query-gpu=name --format=csv,noheader", check=True)
    assert set(smi.stdout.split("\n")) - {""} == {sandbox.truth[0].gpu_name}


async def test_it_keeps_keys(client):
    body = models.AddSSHKeyRequest(name="mine", public_key="ssh-ed25519 AAAAC3Nz mine")
    key = (await add_ssh_key.asyncio(client=client, body=body)).data
    assert [row.name for row in (await list_ssh_keys.asyncio(client=client)).data] == ["mine"]
    await delete_ssh_key.asyncio(key.id, client=client)
    assert (await list_ssh_keys.asyncio(client=client)).data == []


async def test_its_errors_are_typed(client, sandbox):
    number = await launched(client)
    kind, region = await available(client)
    for offer in sandbox.offers():
        if offer["id"] == f"{kind}:{region}":
            sandbox.change_offer(offer["id"], "withdraw")
    body = models.InstanceLaunchRequest(region_name=region, instance_type_name=kind, ssh_key_names=["k1"])
    full = await launch_instance.asyncio(client=client, body=body)
    assert isinstance(full.error, models.ApiErrorInsufficientCapacity)
    unknown = models.InstanceLaunchRequest(region_name=region, instance_type_name="gpu_9x", ssh_key_names=["k1"])
    answer = await launch_instance.asyncio(client=client, body=unknown)
    assert isinstance(answer.error, models.ApiErrorLaunchResourceNotFound)
    two_keys = models.InstanceLaunchRequest(region_name=region, instance_type_name=kind, ssh_key_names=["k1", "k2"])
    answer = await launch_instance.asyncio(client=client, body=two_keys)
    assert isinstance(answer.error, models.ApiErrorInvalidParameters)
    missing = models.InstanceTerminateRequest(instance_ids=["0" * 32])
    answer = await terminate_instance.asyncio(client=client, body=missing)
    assert isinstance(answer.error, models.ApiErrorInstanceNotFound)
    assert (await get_instance.asyncio(number, client=client)).data.id == number


async def test_a_wrong_key_is_a_typed_error_too(sandbox):
    async with AuthenticatedClient(base_url=sandbox.url, token="wrong") as stranger:
        answer = await list_instances.asyncio(client=stranger)
    assert isinstance(answer, models.ListInstancesResponse401)
    assert answer.error.code == "global/invalid-api-key"
