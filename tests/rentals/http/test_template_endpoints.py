"""Templates over HTTP."""

from __future__ import annotations

import pytest

BUILT_IN = ["ubuntu-24-04", "pytorch", "vllm", "sglang", "tgi", "ollama"]
BODY = {"name": "mine", "image": "ghcr.io/me/mine:1", "ports": [9000], "startup_script": "echo hi\n", "disk_gb": 50}


async def made(caller, **changes):
    answer = await caller.post("/v1/templates", BODY | changes)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_the_built_in_ones_are_listed_after_ones_own(ada) -> None:
    own = [(await made(ada, name=name))["id"] for name in ("one", "two", "three")]
    shown, cursor = [], None
    while True:
        page = (await ada.get("/v1/templates", params={"limit": 2} | ({"cursor": cursor} if cursor else {}))).json()
        shown += page["data"]
        if (cursor := page["next_cursor"]) is None:
            break
    assert [template["id"] for template in shown] == sorted(own, reverse=True) + BUILT_IN
    assert [template["built_in"] for template in shown] == [False] * 3 + [True] * 6


async def test_an_own_template_is_kept_read_changed_and_forgotten(ada) -> None:
    template = await made(ada)
    path = f"/v1/templates/{template['id']}"
    read = await ada.get(path)
    assert read.json() == template
    assert (await ada.get("/v1/templates/mine")).json() == template
    changed = await ada.http.patch(path, json={"disk_gb": 60}, headers={"If-Match": read.headers["etag"]})
    assert changed.json() == template | {"disk_gb": 60}
    stale = await ada.http.patch(path, json={"disk_gb": 70}, headers={"If-Match": read.headers["etag"]})
    assert (stale.status_code, stale.json()["code"]) == (412, "etag_mismatch")
    cleared = await ada.http.patch(path, json={"startup_script": None, "name": "other"})
    assert (cleared.json()["startup_script"], cleared.json()["name"]) == (None, "other")
    assert (await ada.http.delete(path)).status_code == 204
    assert (await ada.get(path)).status_code == 404
    assert (await ada.http.delete(path)).status_code == 404


async def test_a_rental_is_launched_with_an_own_template_by_name_or_id(ada, hand) -> None:
    template = await made(ada)
    for reference in (template["id"], "mine"):
        rental = await ada.rent(family="rtx-4090", template=reference, ports=[8000])
        assert (rental["template"], rental["image"]) == ("mine", BODY["image"])
        assert (rental["ports"], rental["disk_gb"]) == ([9000, 8000], 50)
        assert (await hand.row(ada, rental["id"])).launch["startup_script"] == "echo hi\n"


@pytest.mark.parametrize("name", ["mine", "vllm"])
async def test_a_name_is_taken_once(ada, new_caller, name) -> None:
    eve = await new_caller()
    await made(ada)
    other = await made(ada, name="other")
    taken = await ada.post("/v1/templates", BODY | {"name": name})
    assert (taken.status_code, taken.json()["code"]) == (409, "name_taken")
    renamed = await ada.http.patch(f"/v1/templates/{other['id']}", json={"name": name})
    assert (renamed.status_code, renamed.json()["code"]) == (409, "name_taken")
    await made(eve)


async def test_built_in_templates_can_t_be_changed(ada) -> None:
    assert (await ada.get("/v1/templates/vllm")).json()["built_in"] is True
    for answer in (
        await ada.http.patch("/v1/templates/vllm", json={"disk_gb": 50}),
        await ada.http.delete("/v1/templates/vllm"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    "change",
    [{"image": "a b"}, {"ports": [22]}, {"disk_gb": 5}, {"name": ""}, {"env": {"A": "1"}}, {"name": None}, {}],
)
async def test_what_no_template_can_have_is_refused(ada, change) -> None:
    template = await made(ada)
    answer = await ada.http.patch(f"/v1/templates/{template['id']}", json=change)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


async def test_anothers_template_is_not_found(ada, new_caller) -> None:
    eve, template = await new_caller(), await made(ada)
    path = f"/v1/templates/{template['id']}"
    for answer in (
        await eve.get(path),
        await eve.http.patch(path, json={"disk_gb": 60}),
        await eve.http.delete(path),
        await eve.get("/v1/templates/mine"),
    ):
        assert answer.status_code == 404
    assert (await eve.post("/v1/rentals", {"family": "rtx-4090", "template": "mine"})).status_code == 422
