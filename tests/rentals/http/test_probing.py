"""A rental's own probe, over HTTP."""

from __future__ import annotations

import pytest

PROBE = {"command": "python3 -c 'import torch'", "timeout_seconds": 45}


async def test_a_rental_takes_its_own_probe_or_its_templates(ada, hand) -> None:
    made = await ada.post("/v1/templates", {"name": "mine", "image": "ghcr.io/me/mine:1", "probe": PROBE})
    assert made.json()["probe"] == PROBE
    rental = await ada.rent(family="rtx-4090", template="mine")
    assert (await hand.row(ada, rental["id"])).launch["probe"] == PROBE
    rental = await ada.rent(family="rtx-4090", template="mine", probe={"command": "true"})
    assert (await hand.row(ada, rental["id"])).launch["probe"] == {"command": "true", "timeout_seconds": 30}
    rental = await ada.rent(family="rtx-4090")
    assert (await hand.row(ada, rental["id"])).launch["probe"] is None


async def test_a_templates_probe_is_changed_and_cleared(ada) -> None:
    await ada.post("/v1/templates", {"name": "mine", "image": "ghcr.io/me/mine:1", "probe": PROBE})
    changed = await ada.http.patch("/v1/templates/mine", json={"probe": {"command": "true"}})
    assert changed.json()["probe"] == {"command": "true", "timeout_seconds": 30}
    cleared = await ada.http.patch("/v1/templates/mine", json={"probe": None})
    assert cleared.json()["probe"] is None


@pytest.mark.parametrize(
    "probe",
    [
        {},
        {"command": ""},
        {"command": "x" * 8193},
        {"command": "a\0b"},
        {"command": "true", "timeout_seconds": 0},
        {"command": "true", "timeout_seconds": 61},
        {"command": "true", "image": "x"},
        "true",
    ],
)
async def test_a_probe_without_bounds_is_refused(ada, probe) -> None:
    answer = await ada.post("/v1/rentals", {"family": "rtx-4090", "probe": probe})
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
