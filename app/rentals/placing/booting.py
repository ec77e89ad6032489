"""From a machine that exists to a rental that runs: wait for the boot, check over SSH, install keys, start to bill."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from app import catalog, wallet
from app.kit.ids import AccountId, RentalId
from app.kit.leases import bucket_name, fenced
from app.kit.reconcile import Round
from app.machines import (
    Expectation,
    Failed,
    Floor,
    Passed,
    Shell,
    ShellError,
    set_authorized_keys,
    start_script,
    try_out,
)
from app.machines import check as check_machine
from app.providers import Connection, Gone, Machine, MachineStatus
from app.rentals import queries
from app.rentals.asking.asking import Chosen
from app.rentals.asking.requesting import environment
from app.rentals.fencing import held_rental, look_again
from app.rentals.models import AttemptRow, RentalRow
from app.rentals.placing.giving_up import Reason, abandon
from app.rentals.placing.power import stopped_rate
from app.rentals.placing.recovering import ends_at, note_recovery
from app.rentals.runs import begin_run
from app.rentals.states import Stage, Status, move
from app.rentals.tools import Tools

_LAG_SECONDS = 30
"""A cloud's answers may not know a machine so shortly after its creation."""

_DEAD = frozenset({MachineStatus.FAILED, MachineStatus.PREEMPTED, MachineStatus.STOPPED, MachineStatus.GONE})


async def boot(tools: Tools, this: Round, rental: RentalRow, attempt: AttemptRow) -> str:
    """Ask the cloud how the machine is; go on to the check once it runs and can be reached."""
    at = tools.clock.now()
    limits = tools.limits_for(attempt.provider)
    since = attempt.booting_at or attempt.created_at
    machine = await _ask(tools, attempt)
    if machine is None or machine.status in _DEAD:
        if machine is None and at < since + timedelta(seconds=_LAG_SECONDS):
            return await _wait(tools, this, rental, attempt)
        said = machine.status_message if machine else "The machine is gone."
        broken_image = machine is not None and machine.status is MachineStatus.FAILED and bool(said)
        reason: Reason = "image_error" if broken_image else "provider_error"
        return await abandon(tools, this, rental, attempt, reason, message=said or "The machine did not start.")
    if _too_dear(machine, attempt):
        return await abandon(
            tools, this, rental, attempt, "price_changed", message="The cloud charges more than listed."
        )
    if machine.status is MachineStatus.RUNNING and machine.connection is not None:
        return await _booted(tools, this, rental, attempt, machine)
    if at >= since + timedelta(seconds=limits.boot_seconds):
        return await abandon(tools, this, rental, attempt, "boot_timeout", message="The machine did not boot in time.")
    return await _wait(tools, this, rental, attempt)


async def check(tools: Tools, this: Round, rental: RentalRow, attempt: AttemptRow) -> str:
    """Look at the machine over SSH: is it what was sold? Then it is the customer's."""
    try:
        found = await _inspect(tools, rental, attempt)
    except ShellError as error:
        limits = tools.limits_for(attempt.provider)
        since = attempt.checking_at or attempt.created_at
        if tools.clock.now() >= since + timedelta(seconds=limits.check_seconds):
            return await abandon(tools, this, rental, attempt, "ssh_unreachable", message=str(error))
        return await _wait(tools, this, rental, attempt)
    if isinstance(found, Failed):
        return await abandon(tools, this, rental, attempt, found.reason, message=found.message)
    return await _run(tools, this, rental, attempt, found)


async def _ask(tools: Tools, attempt: AttemptRow) -> Machine | None:
    provider = tools.providers[attempt.provider]
    try:
        return await provider.get_machine(attempt.machine_id or "")
    except Gone:
        return None


async def _wait(tools: Tools, this: Round, rental: RentalRow, attempt: AttemptRow) -> str:
    seconds = tools.limits_for(attempt.provider).poll_seconds
    await look_again(tools, this, rental, at=tools.clock.now() + timedelta(seconds=seconds))
    return "not_yet"


def _too_dear(machine: Machine, attempt: AttemptRow) -> bool:
    """More than a tenth above the listing: the offer was re-priced between search and rent."""
    listed: int = attempt.listing["all_in_micros_per_hour"]
    return machine.price_micros_per_hour is not None and machine.price_micros_per_hour * 10 > listed * 11


async def _booted(tools: Tools, this: Round, seen: RentalRow, attempt: AttemptRow, machine: Machine) -> str:
    at = tools.clock.now()
    async with tools.db.begin_unscoped() as session:
        rental = await held_rental(session, this, seen)
        row = await queries.lock_attempt(session, account_id=seen.account_id, rental_id=seen.id, number=attempt.number)
        if rental is None or row is None or row.status != "booting" or machine.connection is None:
            return "moved_on"
        row.status, row.checking_at = "checking", at
        row.connection = address_of(machine, machine.connection)
        rental.next_at = at
        await move(session, rental, Status.PROVISIONING, stage=Stage.CHECKING, at=at, data={"attempt": row.number})
    return "booted"


def address_of(machine: Machine, connection: Connection) -> dict[str, object]:
    """Return where a machine answers, as it is kept."""
    return {
        "host": connection.host,
        "port": connection.port,
        "username": connection.username,
        "ports": {str(port): list(public) for port, public in machine.ports.items()},
    }


def connection_of(attempt: AttemptRow) -> Connection:
    """Return where an attempt's machine answers.

    Raises:
        LookupError: it has not been told yet.
    """
    told = attempt.connection
    if told is None:
        raise LookupError("the machine's address is not known yet")
    return Connection(host=told["host"], port=told["port"], username=told["username"])


@dataclass(frozen=True, slots=True)
class _Sound:
    """A machine that passed, and what was learnt of it."""

    passed: Passed
    host_key: str
    latency_ms: int | None


async def _inspect(tools: Tools, rental: RentalRow, attempt: AttemptRow) -> _Sound | Failed:
    expected = _sold(Chosen.restored(attempt.listing))
    limits = tools.limits_for(attempt.provider)
    async with tools.open_shell(
        connection_of(attempt),
        private_key=tools.platform_key.private,
        deadline_seconds=limits.check_seconds,
        known_host=attempt.host_key,
    ) as shell:
        found = await check_machine(shell, expected)
        if isinstance(found, Failed):
            return found
        if failed := await _try_out(tools, shell, rental):
            return failed
        await set_authorized_keys(shell, [key["public_key"] for key in rental.ssh_keys])
        if script := rental.launch["startup_script"]:
            again = "" if attempt.resuming_at is None else str(int(attempt.resuming_at.timestamp()))
            await start_script(shell, script=script, env=environment(tools.vault, rental), again=again)
        return _Sound(found, shell.host_key, shell.latency_ms)


async def _try_out(tools: Tools, shell: Shell, rental: RentalRow) -> Failed | None:
    """Run the rental's own probe, if it has one."""
    probe = rental.launch.get("probe")
    if probe is None:
        return None
    env = environment(tools.vault, rental)
    return await try_out(shell, command=probe["command"], env=env, seconds=probe["timeout_seconds"])


def _sold(chosen: Chosen) -> Expectation:
    figures = catalog.get_family(chosen.family).hardware(chosen.interconnect)
    return Expectation(
        gpu_count=chosen.gpu_count,
        vram_mib=chosen.vram_mib,
        accepts=lambda name: (
            (found := catalog.match_family(name, chosen.vram_mib)) is not None and found.family.slug == chosen.family
        ),
        floor=Floor.of(bandwidth_gb_per_second=figures.bandwidth_gb_per_second, fp16_tflops=figures.fp16_tflops),
    )


async def _run(tools: Tools, this: Round, seen: RentalRow, attempt: AttemptRow, found: _Sound) -> str:
    """The machine has passed: from this moment on it is billed."""
    at = tools.clock.now()
    account_id, rental_id = AccountId(seen.account_id), RentalId(seen.id)
    async with tools.db.begin_unscoped() as session:
        await fenced(session, this.holding, [bucket_name(seen.bucket)])
        await wallet.lock(session, account_id=account_id)
        rental = await held_rental(session, this, seen)
        row = await queries.lock_attempt(session, account_id=account_id, rental_id=rental_id, number=attempt.number)
        if rental is None or row is None or row.status != "checking":
            return "moved_on"
        await wallet.start(session, account_id=account_id, rental_id=rental_id, at=at)
        row.status, row.live_at, row.answered_at = "live", row.live_at or at, at
        row.host_key = found.host_key
        capability, chosen = tools.providers[row.provider].capability, Chosen.restored(row.listing)
        rental.stopped_rate = stopped_rate(capability, chosen, rate=rental.rate)
        rental.hibernated_at = rental.status_reason = None
        row.gpus = _told_gpus(found.passed)
        await note_recovery(session, rental, row, at=at)
        await begin_run(session, rental, attempt=row.number, at=at)
        rental.next_at, rental.keys_applied = None, seen.keys_version
        rental.running_at, rental.heartbeat_at = rental.running_at or at, at
        rental.stop_at = ends_at(rental, at=at)
        await move(session, rental, Status.RUNNING, at=at, data={"attempt": row.number, "provider": row.provider})
        await _note_launch(session, row, found, at=at)
    return "running"


def _told_gpus(found: Passed) -> list[dict[str, object]]:
    gpus: list[dict[str, object]] = [
        {"name": gpu.name, "vram_mib": gpu.vram_mib, "uuid": gpu.uuid} for gpu in found.gpus
    ]
    figures = [asdict(one) for one in found.measured] or [{} for _ in gpus]
    return [gpu | measured for gpu, measured in zip(gpus, figures, strict=True)]


async def _note_launch(session: AsyncSession, row: AttemptRow, found: _Sound, *, at: datetime) -> None:
    await catalog.record_machine(
        session,
        fact_id=f"launch:{row.rental_id}:{row.number}",
        kind="launch",
        provider=row.provider,
        family=row.listing["family"],
        spot=row.listing["spot"],
        good=True,
        seconds=int((at - row.created_at).total_seconds()),
        at=at,
        region_id=row.listing["region_id"],
        latency_ms=found.latency_ms,
    )
