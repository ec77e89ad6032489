"""Whose rentals a caller sees: of others it does not even learn that they exist."""

from __future__ import annotations

from sqlalchemy import ColumnElement, or_
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.errors import NotFound
from app.rentals import queries
from app.rentals.models import RentalRow
from app.web import Principal


def sees(principal: Principal, row: RentalRow) -> bool:
    """Say whether a caller sees a rental: it, or a key of the same person, made it, or its team is within reach."""
    makers = (row.created_by, row.user_id)
    return any(principal.reaches(row.team_id, created_by=maker) for maker in makers)


def seen_by(principal: Principal) -> ColumnElement[bool] | None:
    """Return the condition that ``sees`` is, for lists; None where everything of the account is seen."""
    if principal.reach is None:
        return None
    own = RentalRow.created_by == principal.actor
    if principal.team_id is None and principal.user_id is not None:
        own = or_(own, RentalRow.user_id == principal.user_id)
    return or_(RentalRow.team_id.in_(sorted(principal.reach)), own)


async def require_reach(session: AsyncSession, rental_id: str, principal: Principal) -> None:
    """Pass when a caller sees a rental. Costs nothing where it sees everything.

    Raises:
        NotFound: it does not, or there is no such rental.
    """
    if principal.reach is None:
        return
    row = await queries.find_rental(session, account_id=principal.account_id, rental_id=rental_id)
    if row is None or not sees(principal, row):
        raise NotFound("There is no such rental.")
