from __future__ import annotations

import pytest

from tests.topups.events.worlds import closed, opened_world


@pytest.fixture
async def world(own_databases):
    opened = await opened_world(own_databases)
    yield opened
    await closed(opened)
