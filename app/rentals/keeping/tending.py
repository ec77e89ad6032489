"""Tending: what a running machine needs over SSH: changed keys installed, the startup script's output collected."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.leases import bucket_name, fenced
from app.kit.reconcile import Round
from app.machines import LogChunk, Shell, ShellError, read_log, set_authorized_keys
from app.rentals import finding, queries
from app.rentals.models import LogRow, RentalRow
from app.rentals.placing.booting import connection_of
from app.rentals.placing.placement import Item
from app.rentals.states import Status
from app.rentals.tools import Tools

_SHELL_SECONDS = 20
_CHUNK_BYTES = 64 * 1024
LOG_BYTES_MAX = 1024 * 1024
"""A startup script's output is kept up to here."""


async def find(tools: Tools, this: Round, limit: int) -> list[Item]:
    """Return running rentals whose keys changed or whose script is not known to have ended."""
    async with tools.db.begin_unscoped() as session:
        found = await finding.find_untended(session, buckets=this.holding.buckets, limit=limit)
    return [Item(*row) for row in found]


async def step(tools: Tools, this: Round, item: Item) -> str:
    """Visit one machine."""
    async with tools.db.begin_unscoped() as session:
        rental = await queries.find_rental(session, account_id=item.account_id, rental_id=item.rental_id)
        attempt = await queries.find_alive(session, account_id=item.account_id, rental_id=item.rental_id)
    if rental is None or attempt is None or rental.status != Status.RUNNING:
        return "moved_on"
    try:
        async with tools.open_shell(
            connection_of(attempt),
            private_key=tools.platform_key.private,
            deadline_seconds=_SHELL_SECONDS,
            known_host=attempt.host_key,
        ) as shell:
            chunk = await _visit(shell, rental)
    except ShellError:
        return "unreachable"
    async with tools.db.begin_unscoped() as session:
        await fenced(session, this.holding, [bucket_name(item.bucket)])
        return await _note(session, tools, rental, chunk)


async def _visit(shell: Shell, rental: RentalRow) -> LogChunk | None:
    if rental.keys_applied < rental.keys_version:
        await set_authorized_keys(shell, [key["public_key"] for key in rental.ssh_keys])
    if rental.launch["startup_script"] and rental.log_exit is None:
        return await read_log(shell, offset=rental.log_offset - rental.log_base, limit_bytes=_CHUNK_BYTES)
    return None


async def _note(session: AsyncSession, tools: Tools, seen: RentalRow, chunk: LogChunk | None) -> str:
    rental = await queries.lock_rental(session, account_id=seen.account_id, rental_id=seen.id)
    if rental is None:
        return "moved_on"
    rental.keys_applied = max(rental.keys_applied, seen.keys_version)
    if chunk is None or rental.log_offset != seen.log_offset:
        return "keys"
    if chunk.text:
        session.add(
            LogRow(
                account_id=rental.account_id,
                rental_id=rental.id,
                from_offset=rental.log_offset,
                text=chunk.text,
                at=tools.clock.now(),
            )
        )
    rental.log_offset = rental.log_base + chunk.next_offset
    if chunk.exit_status is not None and not chunk.text:
        rental.log_exit = chunk.exit_status
    elif chunk.next_offset >= LOG_BYTES_MAX:
        rental.log_exit = -1
    return "log"
