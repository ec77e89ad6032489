"""What the stand-in does on the wire that no SDK asks for."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from app.sandbox import Fault, Sandbox, SandboxConfig

grpclib = pytest.importorskip("grpclib")
client = pytest.importorskip("grpclib.client")
api_grpc = pytest.importorskip("modal_proto.api_grpc")
pb = pytest.importorskip("modal_proto.api_pb2")
exceptions = pytest.importorskip("grpclib.exceptions")


class Wire:
    """Modal's calls without its SDK."""

    def __init__(self, sandbox: Sandbox, *, secret: str | None = None) -> None:
        host, _, port = sandbox.modal_url.removeprefix("http://").partition(":")
        self._channel = client.Channel(host, int(port))
        self._stub = api_grpc.ModalClientStub(self._channel)
        config = sandbox.config
        self._metadata = {
            "x-modal-token-id": config.modal_token_id,
            "x-modal-token-secret": secret or config.modal_token_secret,
        }

    async def __call__(self, name: str, request: object = None, *, seconds: float = 5) -> object:
        method = getattr(self._stub, name)
        return await method(request or method.request_type(), timeout=seconds, metadata=self._metadata)

    async def create(self, name: str = "one", **more: object) -> str:
        app = await self("AppGetOrCreate", pb.AppGetOrCreateRequest(app_name="wire", object_creation_type=1))
        secret = await self("SecretGetOrCreate", pb.SecretGetOrCreateRequest(env_dict={"K": "ssh-ed25519 AAAA"}))
        definition = {
            "image_id": "im-1",
            "secret_ids": [secret.secret_id],
            "name": name,
            "timeout_secs": 600,
            "resources": pb.Resources(gpu_config=pb.GPUConfig(gpu_type="L4", count=1)),
            **more,
        }
        request = pb.SandboxCreateRequest(
            app_id=app.app_id,
            definition=pb.Sandbox(**definition),
            tags=[pb.SandboxTag(tag_name="marker", tag_value=name)],
        )
        return (await self("SandboxCreate", request)).sandbox_id

    async def listed(self, **more: object) -> list[object]:
        return list((await self("SandboxList", pb.SandboxListRequest(**more))).sandboxes)

    async def status(self, sandbox_id: str) -> int:
        return (await self("SandboxWait", pb.SandboxWaitRequest(sandbox_id=sandbox_id))).result.status

    def close(self) -> None:
        self._channel.close()


@pytest.fixture
async def wire(modal_sandbox):
    wire = Wire(modal_sandbox)
    yield wire
    wire.close()
    modal_sandbox.faults.clear()


async def refused(call) -> tuple[str, str]:
    with pytest.raises(grpclib.GRPCError) as caught:
        await call
    return caught.value.status.name, caught.value.message


async def test_every_call_there_is_gets_an_answer(wire):
    names = api_grpc.ModalClientBase.__abstractmethods__
    assert len(names) > 200
    assert await refused(wire("VolumeList")) == ("UNIMPLEMENTED", "the sandbox does not answer VolumeList")


async def test_a_wrong_token_opens_nothing(modal_sandbox):
    stranger = Wire(modal_sandbox, secret="as-wrong")
    for name in ("ClientHello", "AuthTokenGet", "SandboxList", "WorkspaceBillingRates"):
        assert (await refused(stranger(name)))[0] == "UNAUTHENTICATED"
    stranger.close()


async def test_requests_that_lack_what_is_needed_are_refused(wire):
    wrong = [
        {"image_id": ""},
        {"timeout_secs": 0},
        {"timeout_secs": 86_401},
        {"resources": pb.Resources()},
        {"resources": pb.Resources(gpu_config=pb.GPUConfig(gpu_type="A10", count=8))},
    ]
    for changes in wrong:
        assert (await refused(wire.create(**changes)))[0] == "INVALID_ARGUMENT"
    assert (await refused(wire.create(secret_ids=["st-nobodys"])))[0] == "NOT_FOUND"
    assert await wire.listed() == []


async def test_lists_come_in_pages_newest_first_to_an_empty_one(wire, modal_sandbox):
    modal_sandbox.faults.add(Fault("never_boots", provider="modal", times=None))
    made = [await wire.create(f"page-{number}") for number in range(23)]
    seen, before = [], None
    while page := await wire.listed(before_timestamp=before):
        seen += [row.id for row in page]
        before = page[-1].created_at
    assert seen == made[::-1]
    for sandbox_id in made:
        await wire("SandboxTerminate", pb.SandboxTerminateRequest(sandbox_id=sandbox_id))
    assert await wire.listed() == []
    assert {row.task_info.result.status for row in await wire.listed(include_finished=True)} == {3}


async def test_an_end_keeps_its_first_result(wire):
    sandbox_id = await wire.create("ends")
    request = pb.SandboxTerminateRequest(sandbox_id=sandbox_id)
    assert not (await wire("SandboxTerminate", request)).HasField("existing_result")
    assert (await wire("SandboxTerminate", request)).existing_result.status == 3
    assert await wire.status(sandbox_id) == 3


async def test_a_sandbox_that_vanished_is_not_known(wire, modal_sandbox):
    sandbox_id = await wire.create("vanishes")
    modal_sandbox.accidents.vanish(sandbox_id)
    assert (await refused(wire.status(sandbox_id)))[0] == "NOT_FOUND"
    assert await wire.listed(include_finished=True, tags=[pb.SandboxTag(tag_name="marker", tag_value="vanishes")]) == []


@pytest.mark.parametrize(("mode", "left"), [("", []), ("cut", ["a-name-with-more"])])
async def test_a_marker_that_got_lost_is_lost_as_name_and_as_tag(wire, modal_sandbox, mode, left):
    modal_sandbox.faults.add(Fault("marker_lost", provider="modal", mode=mode))
    sandbox_id = await wire.create("a-name-with-more-letters")
    (row,) = [row for row in await wire.listed() if row.id == sandbox_id]
    assert [tag.tag_value for tag in row.tags] == left
    assert [row.name] == (left or [""])
    await wire("SandboxTerminate", pb.SandboxTerminateRequest(sandbox_id=sandbox_id))


async def test_offers_are_shown_and_changed_from_outside(wire, modal_sandbox):
    async with httpx.AsyncClient(base_url=modal_sandbox.url) as control:
        offers = (await control.get("/_sandbox/offers")).json()["offers"]
        assert {offer["id"] for offer in offers if offer["provider"] == "modal"} >= {"H100!", "L4", "B200"}
        await control.post("/_sandbox/offers/L4/withdraw")
        assert (await refused(wire.create("sold-out")))[0] == "RESOURCE_EXHAUSTED"
        await control.post("/_sandbox/offers/L4/restore", json={"stock": 24})
        await control.post("/_sandbox/offers/L4/reprice", json={"micros_per_second": 500})
        rates = (await wire("WorkspaceBillingRates")).rates
        assert rates["L4"] == "0.0005000000"
        await control.post("/_sandbox/offers/L4/reprice", json={"micros_per_second": 222})
        assert (await control.post("/_sandbox/offers/L4/paint")).status_code == 404


async def test_calls_are_recorded_with_what_became_of_them(wire, modal_sandbox):
    modal_sandbox.faults.add(Fault("timeout_after_success", operation="list_offers", provider="modal", mode="drop"))
    modal_sandbox.faults.add(Fault("server_error", operation="list_machines", provider="modal", status=503))
    with pytest.raises(exceptions.StreamTerminatedError):
        await wire("WorkspaceBillingRates")
    assert (await refused(wire.listed()))[0] == "UNAVAILABLE"
    await wire.listed()
    told = [(call.operation, call.status) for call in modal_sandbox.calls if call.provider == "modal"]
    assert told[-3:] == [("list_offers", 0), ("list_machines", 503), ("list_machines", 200)]


async def test_the_end_waits_for_nobody():
    sandbox = await Sandbox.start(SandboxConfig(ssh_port=0))
    wire = Wire(sandbox)
    await wire("ClientHello")
    sandbox.faults.add(Fault("timeout_after_success", operation="list_offers", provider="modal", seconds=60))
    hanging = asyncio.create_task(wire("WorkspaceBillingRates", seconds=60))
    await asyncio.sleep(0.1)
    async with asyncio.timeout(10):
        await sandbox.aclose()
    with pytest.raises(exceptions.StreamTerminatedError):
        await hanging
    wire.close()


async def test_a_days_end_comes_with_the_clock(clock):
    sandbox = await Sandbox.start(SandboxConfig(boot_seconds=1, ssh_port=0, price_step_seconds=0), clock=clock)
    wire = Wire(sandbox)
    sandbox.faults.add(Fault("never_boots", provider="modal"))  # its host would start beside the clock's leaps
    sandbox_id = await wire.create("a-day", timeout_secs=3600)
    await clock.advance(3500)
    assert await wire.status(sandbox_id) == 0
    await clock.advance(200)
    async with asyncio.timeout(10):
        while await wire.status(sandbox_id) != 4:  # noqa: ASYNC110 - the sandbox's tasks move by themselves
            await asyncio.sleep(0.02)
    (truth,) = [truth for truth in sandbox.truth if truth.id == sandbox_id]
    assert truth.ended_at == clock.now()
    wire.close()
    await sandbox.aclose()
