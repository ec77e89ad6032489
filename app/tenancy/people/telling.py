"""Acts on sessions in the audit of the account that the session acts in.

They are told once they stand, in a transaction of their own: sessions are the auth role's, and it writes no audit.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from app import audit
from app.kit.db import Database
from app.web import SignedIn


async def tell(
    db: Database,
    person: SignedIn,
    action: str,
    *,
    at: datetime,
    target: str | None = None,
    details: Mapping[str, object] | None = None,
) -> None:
    """Write what a person did with a session, its own unless ``target`` is another; nothing where it does not belong."""
    if person.principal is None:
        return
    entry = audit.Entry(
        person.account_id,
        action,
        target or person.session_id,
        at,
        actor=person.person_id,
        user_id=person.person_id,
        details=details or {},
    )
    async with db.begin(person.account_id) as session:
        await audit.write(session, entry)
