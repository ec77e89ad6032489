"""The queue's entries: what is held and shown of a rental for which there is nothing to rent yet."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app import catalog, wallet
from app.kit.ids import AccountId, RentalId
from app.rentals.asking.asking import Chosen, restored_wanted
from app.rentals.models import RentalRow
from app.rentals.states import Status, move

_MIB_PER_GB = 1024


def wished(wanted: catalog.Wanted) -> Chosen:
    """Return what stands in a listing's place: an hour at the highest price that the caller would pay.

    Raises:
        ValueError: there is no such price.
    """
    ceiling = wanted.max_price_micros_per_hour
    if ceiling is None:
        raise ValueError("what waits has a highest price")
    return Chosen(
        listing_id="",
        provider="",
        offer_id="",
        host_id=None,
        family=wanted.families[0] if wanted.families else "",
        model="",
        gpu_count=wanted.gpu_count or 1,
        vram_mib=(wanted.min_vram_gb or 0) * _MIB_PER_GB,
        interconnect=None,
        spot=wanted.spot is catalog.Spot.ONLY,
        region_id="",
        region_name="",
        country=None,
        price_micros_per_hour=ceiling,
        disk_micros_per_hour=0,
        all_in_micros_per_hour=ceiling,
    )


async def requeue(session: AsyncSession, rental: RentalRow, *, reason: str, at: datetime) -> bool:
    """Let a rental that waited, and for which what turned up was gone again, wait on; return whether it does.

    An hour at its highest price is held again. The caller holds the locks of the wallet and the rental.
    """
    if rental.running_at is not None or rental.queued_until is None or rental.queued_until <= at:
        return False
    listing = wished(restored_wanted(rental.wanted))
    rate = listing.all_in_micros_per_hour
    account_id, rental_id = AccountId(rental.account_id), RentalId(rental.id)
    try:
        await wallet.change_rate(session, account_id=account_id, rental_id=rental_id, rate=rate, at=at)
    except (wallet.InsufficientBalance, wallet.WalletLocked):
        return False
    rental.listing, rental.rate = listing.stored(), rate
    rental.searched_before, rental.next_at = rental.attempts, rental.queued_until
    await move(session, rental, Status.QUEUED, at=at, data={"reason": reason})
    return True
