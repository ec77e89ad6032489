"""SSH keys over HTTP."""

from __future__ import annotations

import pytest


async def added(caller, public_key, name="laptop"):
    answer = await caller.post("/v1/ssh-keys", {"name": name, "public_key": public_key})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_key_is_kept_read_and_forgotten(ada, new_public_key) -> None:
    text = new_public_key()
    made = await added(ada, f"  {text}\n")
    assert made["public_key"] == text
    assert made["fingerprint"].startswith("SHA256:")
    assert (await ada.get(f"/v1/ssh-keys/{made['id']}")).json() == made
    assert (await ada.get("/v1/ssh-keys")).json()["data"] == [made]
    assert (await ada.http.delete(f"/v1/ssh-keys/{made['id']}")).status_code == 204
    assert (await ada.http.delete(f"/v1/ssh-keys/{made['id']}")).status_code == 404
    assert (await ada.get("/v1/ssh-keys")).json()["data"] == []


async def test_the_same_key_is_kept_once_per_account(ada, new_caller, new_public_key) -> None:
    eve, text = await new_caller(), new_public_key()
    await added(ada, text)
    answer = await ada.post("/v1/ssh-keys", {"name": "again", "public_key": text.rpartition(" ")[0] + " other"})
    assert (answer.status_code, answer.json()["code"]) == (409, "duplicate_key")
    await added(eve, text)


@pytest.mark.parametrize(
    ("kind", "options", "status"),
    [
        ("ssh-ed25519", {}, 201),
        ("ecdsa-sha2-nistp256", {}, 201),
        ("ssh-rsa", {"key_size": 2048}, 201),
        ("ssh-rsa", {"key_size": 1024}, 422),
    ],
)
async def test_strong_keys_alone_are_kept(ada, new_public_key, kind, options, status) -> None:
    answer = await ada.post("/v1/ssh-keys", {"name": "k", "public_key": new_public_key(kind, **options)})
    assert answer.status_code == status
    assert status == 201 or answer.json()["code"] == "weak_key"


@pytest.mark.parametrize(
    "text", ["x", "ssh-ed25519 AAAA", "ssh-ed25519 A\nssh-rsa B", 'command="x" ssh-ed25519 A', "-----BEGIN", "\x00"]
)
async def test_what_is_no_key_is_refused(ada, text) -> None:
    answer = await ada.post("/v1/ssh-keys", {"name": "k", "public_key": text})
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


async def test_keys_are_paged_newest_first(ada, new_public_key) -> None:
    made = [(await added(ada, new_public_key()))["id"] for _ in range(3)]
    first = (await ada.get("/v1/ssh-keys", params={"limit": 2})).json()
    rest = (await ada.get("/v1/ssh-keys", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [key["id"] for key in first["data"] + rest["data"]] == sorted(made, reverse=True)


async def test_anothers_key_is_not_found(ada, new_caller, new_public_key) -> None:
    eve, made = await new_caller(), await added(ada, new_public_key())
    assert (await eve.get(f"/v1/ssh-keys/{made['id']}")).status_code == 404
    assert (await eve.http.delete(f"/v1/ssh-keys/{made['id']}")).status_code == 404
    named = await eve.post("/v1/rentals", {"family": "rtx-4090", "ssh_key_ids": [made["id"]]})
    assert (named.status_code, named.json()["errors"][0]["pointer"]) == (422, "/ssh_key_ids/0")
    rental = (await eve.rent())["id"]
    assert (await eve.http.put(f"/v1/rentals/{rental}/ssh-keys/{made['id']}")).status_code == 404
