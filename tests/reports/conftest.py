"""An account's books, and callers of the reports' routes who see all of it or a part."""

from __future__ import annotations

from typing import Any

import pytest

from app.kit.db import Database
from tests.reports.ground import Books


@pytest.fixture
async def books(worker_db: Database, new_account: Any) -> Books:
    """Books with $1,000; other rooms' sentences about rentals are not about these."""
    return Books(worker_db, await new_account(micros=1_000_000_000))
