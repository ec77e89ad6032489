"""A rental's whole life as a caller sees it, against sandbox clouds and machines that really answer SSH."""

from __future__ import annotations

import asyncssh
import pytest

from app.rentals.reconcilers import visits


@pytest.fixture
async def renter(stage, rich, make_app, make_caller):
    app = make_app(stage.databases, stage.clock, stage.tools.vault)
    return await make_caller(app, stage.databases.worker, await rich())


@pytest.mark.usefixtures("real_machines")
async def test_what_was_asked_for_is_what_runs_and_what_was_used_is_what_is_paid(stage, renter) -> None:
    private = asyncssh.generate_private_key("ssh-ed25519")
    public = private.export_public_key().decode().strip()
    key = (await renter.post("/v1/ssh-keys", {"name": "mine", "public_key": public})).json()
    made = await renter.rent(
        family="rtx-4090",
        secrets={"TOKEN": 'it\'s "quoted" $HOME'},
        startup_script='test "$TOKEN" = "it\'s \\"quoted\\" \\$HOME" && echo fits; exit 7',
    )
    await stage.until_status(made["id"], "running", "failed")

    shown = await renter.shown(made["id"])
    assert shown["status"] == "running", shown["failure"]
    ssh = shown["ssh"]
    login = {"username": ssh["user"], "client_keys": [private], "known_hosts": None}
    async with asyncssh.connect(ssh["host"], ssh["port"], **login) as shell:
        assert (await shell.run("echo in")).stdout == "in\n"

    for _ in range(100):
        await stage.run(visits)
        log = (await renter.get(f"/v1/rentals/{made['id']}/logs")).json()
        if log["complete"]:
            break
    assert "".join(piece["text"] for piece in log["data"]) == "fits\n"
    assert log["exit_status"] == 7

    removed = await renter.http.delete(f"/v1/rentals/{made['id']}/ssh-keys/{key['id']}")
    assert removed.status_code == 202
    await stage.run(visits)
    with pytest.raises(asyncssh.PermissionDenied):
        await asyncssh.connect(ssh["host"], ssh["port"], **login)

    stage.clock.advance(100)
    assert (await renter.http.delete(f"/v1/rentals/{made['id']}")).status_code == 202
    await stage.until_rest()
    receipt = (await renter.get(f"/v1/rentals/{made['id']}/receipt")).json()
    assert receipt["billed_seconds"] >= 100
    assert (await renter.shown(made["id"]))["status"] == "stopped"
