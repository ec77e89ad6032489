"""What callers say about machines that are taken back."""

from __future__ import annotations

import pytest

WISH = {
    "on_interrupt": "tar c model | put",
    "timeout_on_interrupt": 120,
    "checkpoint_uri": "s3://bucket/atlas",
    "recovery_seconds": 3600,
}


async def test_a_rental_is_asked_for_with_them_and_shows_where_it_saves(ada, hand) -> None:
    rental = await ada.rent(family="rtx-4090", **WISH)
    assert (rental["checkpoint_uri"], rental["interruptions"], rental["interrupted_at"]) == (
        "s3://bucket/atlas",
        0,
        None,
    )
    launch = (await hand.row(ada, rental["id"])).launch
    assert {name: launch[name] for name in WISH} == WISH


async def test_a_template_has_them_and_a_rental_may_say_otherwise(ada, hand) -> None:
    body = {"name": "mine", "image": "ghcr.io/me/mine:1"}
    plain = (await ada.post("/v1/templates", body)).json()
    assert (plain["timeout_on_interrupt"], plain["recovery_seconds"], plain["on_interrupt"]) == (60, 900, None)
    changed = (await ada.http.patch(f"/v1/templates/{plain['id']}", json=WISH)).json()
    assert changed == plain | WISH
    rental = await ada.rent(family="rtx-4090", template="mine", checkpoint_uri="https://example.com/b")
    launch = (await hand.row(ada, rental["id"])).launch
    assert {name: launch[name] for name in WISH} == WISH | {"checkpoint_uri": "https://example.com/b"}


async def test_a_template_forgets_its_script_but_no_time(ada) -> None:
    path = f"/v1/templates/{(await ada.post('/v1/templates', {'name': 'mine', 'image': 'i', **WISH})).json()['id']}"
    cleared = await ada.http.patch(path, json={"on_interrupt": None, "checkpoint_uri": None})
    assert (cleared.json()["on_interrupt"], cleared.json()["checkpoint_uri"]) == (None, None)
    assert (await ada.http.patch(path, json={"recovery_seconds": None})).status_code == 422


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("timeout_on_interrupt", 0),
        ("timeout_on_interrupt", 601),
        ("timeout_on_interrupt", True),
        ("recovery_seconds", 59),
        ("recovery_seconds", 86_401),
        ("on_interrupt", "ü" * 32_769),
        ("checkpoint_uri", "bucket"),
        ("checkpoint_uri", "s3://key:secret@bucket/a"),
        ("checkpoint_uri", "s3://[bucket"),
        ("checkpoint_uri", "s3://bucket/a b"),
        ("checkpoint_uri", "s3://bucket/\n"),
        ("checkpoint_uri", "s3:" + "x" * 2001),
    ],
)
async def test_what_makes_no_sense_is_refused_and_nothing_is_reserved(ada, field, value) -> None:
    answer = await ada.post("/v1/rentals", {"family": "rtx-4090", field: value})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, f"/{field}")
    assert (await ada.get("/v1/rentals")).json()["data"] == []
