from __future__ import annotations

import json
from datetime import timedelta

import httpx
import pytest

from app.audit import OPERATOR
from app.kit.ids import InvitationId, TeamId, UserId
from app.mail.wording import worded
from app.tenancy.invitations import inviting
from app.tenancy.invitations.tokens import new_token
from tests.tenancy.conftest import PEPPER, SITE, together


async def _mailed(world, email):
    """Return what was mailed to an address, the last mail first."""
    rows = await world.read(
        "SELECT data::text AS data FROM mails WHERE to_address = :e ORDER BY created_at DESC, id DESC", e=email
    )
    return [json.loads(row.data) for row in rows]


async def _invite(person, email, **terms):
    return await person.told("POST", "/v1/invitations", {"email": email, **terms})


async def _visitor(world, *emails, name="Ada"):
    """Return somebody who is signed in, in an account of its own."""
    elsewhere, _ = await world.open(name="elsewhere")
    user_id = UserId.new()
    await world.write(
        "INSERT INTO users (account_id, id, email, name, role, joined_at) VALUES (:a, :u, :e, :n, 'owner', now())",
        a=elsewhere.id, u=user_id, e=emails[0], n=name,
    )  # fmt: skip
    return await world.sign_in(user_id, name=name, emails=list(emails), account_id=elsewhere.id)


async def _accept(person, token):
    return await person.ask("POST", "/v1/invitations/accept", {"token": token})


@pytest.fixture
def email():
    return f"{InvitationId.new().lower()}@example.com"


async def test_an_invitation_is_mailed_and_accepted_by_who_has_the_address(lab, world, email):
    org, owner = lab
    team = await org.team(owner)
    made = await owner.ask(
        "POST",
        "/v1/invitations",
        {"email": email.upper(), "role": "member", "teams": [{"team_id": team, "role": "lead"}]},
    )
    told = made.json()
    assert (made.status_code, made.headers["location"]) == (201, f"/v1/invitations/{told['id']}")
    assert (told["email"], told["status"], told["invited_by"]) == (email, "open", owner.id)
    [mail] = await _mailed(world, email)
    wording = worded("invitation", {**mail, "account_id": org.id})
    assert f"http://test/v1/invitations/accept#{mail['token']}" in wording.text
    assert (wording.subject, "Owner" in wording.text) == ("You are invited to Lab on Hourglass", True)

    ada = await _visitor(world, "other@example.com", email)
    joined = await _accept(ada, mail["token"])
    assert (joined.status_code, joined.json()["account_id"], joined.json()["role"]) == (200, org.id, "member")
    member = await owner.told("GET", f"/v1/members/{ada.id}")
    assert (member["name"], member["email"]) == ("Ada", "other@example.com")
    assert member["teams"] == [{"team_id": team, "role": "lead"}]
    shown = await owner.told("GET", f"/v1/invitations/{told['id']}")
    assert (shown["status"], shown["accepted_by"]) == ("accepted", ada.id)
    again = await _accept(ada, mail["token"])
    assert (again.status_code, again.json()) == (200, joined.json())
    acts = [(action, target) for action, target, _ in await world.audit(org.id)]
    assert acts[-2:] == [("invitation.created", told["id"]), ("member.joined", ada.id)]


async def test_the_token_is_in_the_mail_alone(lab, world, email):
    org, owner = lab
    made = await owner.ask("POST", "/v1/invitations", {"email": email})
    [mail] = await _mailed(world, email)
    listed = await owner.ask("GET", "/v1/invitations")
    kept = await world.read("SELECT invitations::text AS told FROM invitations WHERE account_id = :a", a=org.id)
    audit = await world.read("SELECT e::text AS told FROM audit_entries e WHERE account_id = :a", a=org.id)
    hashes = await world.state.auth_db.fetch_once(
        "SELECT t::text AS t FROM invitation_tokens t WHERE account_id = $1", org.id
    )
    assert len(hashes) == 1
    for text in (made.text, listed.text, *(row.told for row in (*kept, *audit)), hashes[0]["t"]):
        assert mail["token"] not in text


async def test_nobody_else_can_accept_it(lab, world, email):
    org, owner = lab
    await _invite(owner, email)
    [mail] = await _mailed(world, email)
    told = await _accept(await _visitor(world, "somebody@example.com"), mail["token"])
    assert (told.status_code, told.json()["code"]) == (403, "forbidden")
    assert email not in told.text
    key, _ = await world.key(owner, scopes=["admin"])
    assert (await _accept(key, mail["token"])).json()["code"] == "sign_in_needed"
    assert len((await owner.told("GET", "/v1/members"))["data"]) == 1
    assert org.id not in told.text


async def test_an_invitation_opens_once(lab, world, email):
    _, owner = lab
    await _invite(owner, email)
    [mail] = await _mailed(world, email)
    one, other = await _visitor(world, email), await _visitor(world, email)
    answers = await together(_accept(one, mail["token"]), _accept(other, mail["token"]))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert {answer.json().get("code") for answer in answers} == {None, "invitation_over"}


async def test_an_invitation_opens_for_seven_days(lab, world, state, email):
    _, owner = lab
    made = await _invite(owner, email)
    [mail] = await _mailed(world, email)
    state.clock.ahead = timedelta(days=7)
    ada, owner = await _visitor(world, email), await world.sign_in(
        owner.id, name="Owner", emails=[owner.email], account_id=lab[0].id
    )  # fmt: skip
    told = await _accept(ada, mail["token"])
    assert (told.status_code, told.json()["code"]) == (409, "invitation_over")
    assert (await owner.told("GET", f"/v1/invitations/{made['id']}"))["status"] == "expired"
    assert (await _invite(owner, email))["id"] != made["id"]
    assert (await owner.told("GET", f"/v1/invitations/{made['id']}"))["status"] == "revoked"


async def test_what_is_sent_again_puts_the_former_mail_out_of_force(lab, world, state, email):
    _, owner = lab
    made = await _invite(owner, email)
    path = f"/v1/invitations/{made['id']}/resend"
    told = await owner.ask("POST", path)
    assert (told.status_code, told.json()["code"]) == (429, "rate_limited")
    assert 0 < int(told.headers["retry-after"]) <= 61
    state.clock.ahead = timedelta(seconds=61)
    again = await owner.told("POST", path, status=200)
    assert (again["times_sent"], again["expires_at"] > made["expires_at"]) == (2, True)
    newer, older = await _mailed(world, email)
    ada = await _visitor(world, email)
    assert (await _accept(ada, older["token"])).json()["code"] == "invitation_over"
    assert (await _accept(ada, newer["token"])).status_code == 200
    state.clock.ahead = timedelta(seconds=130)
    assert (await owner.ask("POST", path)).json()["code"] == "invitation_over"


async def test_an_invitation_is_sent_ten_times_at_most(lab, world, state, email):
    org, owner = lab
    made = await _invite(owner, email)
    await world.write_as(
        org.id, "UPDATE invitations SET times_sent = :n WHERE id = :i", n=inviting.SENT_MAX, i=made["id"]
    )
    state.clock.ahead = timedelta(minutes=5)
    assert (await owner.ask("POST", f"/v1/invitations/{made['id']}/resend")).status_code == 429


async def test_an_invitation_is_taken_back(lab, world, email):
    _, owner = lab
    made = await _invite(owner, email)
    path = f"/v1/invitations/{made['id']}"
    revoked = await owner.told("DELETE", path)
    assert revoked["status"] == "revoked"
    assert await owner.told("DELETE", path) == revoked
    [mail] = await _mailed(world, email)
    ada = await _visitor(world, email)
    assert (await _accept(ada, mail["token"])).json()["code"] == "invitation_over"
    assert (await owner.ask("POST", f"{path}/resend")).json()["code"] == "invitation_over"
    await _invite(owner, email)
    newer = (await _mailed(world, email))[0]
    accepted = await _accept(ada, newer["token"])
    assert accepted.status_code == 200
    last = (await owner.told("GET", "/v1/invitations"))["data"][0]
    assert (await owner.ask("DELETE", f"/v1/invitations/{last['id']}")).json()["code"] == "invitation_over"


async def test_nobody_is_asked_twice_or_asked_who_is_there(lab, world, email):
    org, owner = lab
    made = await _invite(owner, email)
    told = await owner.ask("POST", "/v1/invitations", {"email": email})
    assert (told.status_code, told.json()["code"]) == (409, "already_invited")
    assert told.json()["invitation_id"] == made["id"]
    person = await org.join("viewer")
    told = await owner.ask("POST", "/v1/invitations", {"email": person.email.upper()})
    assert (told.status_code, told.json()["code"]) == (409, "already_member")
    twins = [f"twin-{email}"] * 3
    answers = await together(*(owner.ask("POST", "/v1/invitations", {"email": twin}) for twin in twins))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409]


async def test_only_an_owner_invites_owners(lab):
    org, owner = lab
    admin = await org.join("admin")
    told = await admin.ask("POST", "/v1/invitations", {"email": "new@example.com", "role": "owner"})
    assert (told.status_code, told.json()["code"]) == (403, "forbidden")
    assert (await _invite(admin, "new@example.com", role="admin"))["role"] == "admin"
    made = await _invite(owner, "another@example.com", role="owner")
    assert (await admin.ask("POST", f"/v1/invitations/{made['id']}/resend")).status_code == 403


async def test_what_somebody_may_no_longer_give_is_not_given(lab, world, email):
    org, owner = lab
    other = await org.join("owner")
    await _invite(other, email, role="owner")
    [mail] = await _mailed(world, email)
    await owner.told("PATCH", f"/v1/members/{other.id}", {"role": "admin"})
    told = await _accept(await _visitor(world, email), mail["token"])
    assert (told.status_code, told.json()["code"]) == (409, "invitation_over")


async def test_who_was_removed_can_come_back_with_another_role(lab, world, email):
    org, owner = lab
    ada = await org.join("admin", email=email)
    key, _ = await world.key(ada)
    await owner.told("DELETE", f"/v1/members/{ada.id}")
    await _invite(owner, email, role="viewer")
    [mail] = await _mailed(world, email)
    assert (await _accept(ada, mail["token"])).json()["role"] == "viewer"
    assert (await ada.told("GET", f"/v1/members/{ada.id}"))["removed_at"] is None
    assert (await key.ask("GET", "/v1/account")).json()["code"] == "key_disabled"


async def test_the_operator_lets_in_for_whom_it_opened_the_account(lab, world, worker_db, state, email):
    org, owner = lab
    await world.write("UPDATE users SET email = :e WHERE account_id = :a", e=email, a=org.id)
    sender = inviting.Sender(org.id, OPERATOR, None, state.clock.now())
    post = inviting.Post(PEPPER, "http://test")
    async with worker_db.begin_unscoped() as session:
        made = await inviting.invite(session, sender, inviting.Wish(email, "owner"), post)
        assert made.invited_by == OPERATOR
    [mail] = await _mailed(world, email)
    ada = await _visitor(world, email)
    assert (await _accept(ada, mail["token"])).json()["role"] == "owner"
    rows = await world.read("SELECT id FROM users WHERE account_id = :a AND removed_at IS NULL", a=org.id)
    assert [row.id for row in rows] == [ada.id]
    acts = [(action, target) for action, target, _ in await world.audit(org.id)]
    assert acts[-2:] == [("member.removed", owner.id), ("member.joined", ada.id)]


async def test_who_is_there_by_another_address_keeps_its_role_and_joins_the_teams(lab, world, email):
    org, owner = lab
    team, gone = await org.team(owner), await org.team(owner)
    user_id = UserId.new()
    await _invite(owner, email, role="admin", teams=[{"team_id": team}, {"team_id": gone}])
    await owner.told("DELETE", f"/v1/teams/{gone}")
    [mail] = await _mailed(world, email)
    await world.write(
        "INSERT INTO users (account_id, id, email, name, role, joined_at) VALUES (:a, :u, 'x@example.com', 'Ada',"
        " 'viewer', now())",
        a=org.id, u=user_id,
    )  # fmt: skip
    ada = await world.sign_in(user_id, name="Ada", emails=["x@example.com", email], account_id=org.id)
    assert (await _accept(ada, mail["token"])).json()["role"] == "viewer"
    assert (await ada.told("GET", f"/v1/members/{ada.id}"))["teams"] == [{"team_id": team, "role": "member"}]
    assert (await _accept(ada, mail["token"])).status_code == 200
    told = [details for action, _, details in await world.audit(org.id) if action == "invitation.accepted"]
    assert told == [{"member_id": ada.id, "teams_joined": [team]}]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"email": "nobody"},
        {"email": "a@b@example.com"},
        {"email": "a b@example.com"},
        {"email": "a@example.com\nBcc: b@example.com"},
        {"email": "a@example.com", "role": "emperor"},
        {"email": "a@example.com", "teams": [{"team_id": "nonsense"}]},
        {"email": "a@example.com", "teams": [{"team_id": TeamId.new()}]},
        {"email": "a@example.com", "teams": [{"team_id": "team_01J00000000000000000000000"}] * 2},
        {"email": "a@example.com", "account_id": "acct_01J00000000000000000000000"},
    ],
)
async def test_an_unfit_invitation_is_refused(lab, body):
    _, owner = lab
    told = await owner.ask("POST", "/v1/invitations", body)
    assert (told.status_code, told.json()["code"]) == (422, "validation_failed")


async def test_an_account_invites_so_many_and_no_more(lab, world):
    org, owner = lab
    add = (
        "INSERT INTO invitations (account_id, id, email, role, teams, token_hash, invited_by, created_at, expires_at,"
        " sent_at, times_sent, revoked_at) SELECT :a, 'inv_' || n, n || '@example.com', 'viewer', '[]',"
        " decode(repeat('00', 32), 'hex'), 'key_1', now(), now() + interval '1 day', now(), 1,"
        " CASE WHEN :revoked THEN now() END FROM generate_series(1, :n) n"
    )
    await world.write_as(org.id, add, a=org.id, n=inviting.OPEN_MAX, revoked=False)
    told = await owner.ask("POST", "/v1/invitations", {"email": "one-more@example.com"})
    assert (told.status_code, told.json()["code"]) == (409, "too_many")
    other, somebody = await world.open()
    await world.write_as(other.id, add, a=other.id, n=inviting.A_DAY_MAX, revoked=True)
    told = await somebody.ask("POST", "/v1/invitations", {"email": "one-more@example.com"})
    assert (told.status_code, told.json()["code"]) == (429, "rate_limited")


async def test_guessing_a_token_is_counted_and_ends(lab, world, state):
    _, owner = lab
    state.limiter = type(state.limiter)(per_key=100_000, per_account=100_000, failures_per_address=3)
    answers = [await _accept(owner, token) for token in (new_token(), "guess", new_token(), new_token())]
    assert [answer.status_code for answer in answers] == [404, 404, 404, 429]
    assert len({answer.json()["detail"] for answer in answers[:3]}) == 1


async def test_a_strangers_invitation_and_no_one_at_all_are_told_alike(lab, world, email):
    _, owner = lab
    _, stranger = await world.open()
    theirs = (await _invite(stranger, email))["id"]
    told = [
        await owner.ask(method, f"/v1/invitations/{name}{tail}")
        for name in (theirs, InvitationId.new(), "nonsense")
        for method, tail in (("GET", ""), ("DELETE", ""), ("POST", "/resend"))
    ]
    assert {(one.status_code, one.json()["detail"]) for one in told} == {(404, "There is no such invitation.")}


async def test_invitations_are_listed_newest_first_by_pages(lab):
    _, owner = lab
    ids = [(await _invite(owner, f"{n}@example.com"))["id"] for n in range(3)]
    first = await owner.told("GET", "/v1/invitations?limit=2")
    rest = await owner.told("GET", f"/v1/invitations?limit=2&cursor={first['next_cursor']}")
    assert [one["id"] for one in (*first["data"], *rest["data"])] == [*reversed(ids)]


async def test_nobody_is_invited_where_nobody_can_sign_in(lab, world, connect, state):
    _, owner = lab
    made = await owner.told("POST", "/v1/api-keys", {"name": "key", "scopes": ["admin"]})
    state.sessions = None
    async with connect(made["secret"]) as client:
        headers = {"Idempotency-Key": "1"}
        told = await client.post("/v1/invitations", json={"email": "a@example.com"}, headers=headers)
    assert (told.status_code, told.json()["code"]) == (503, "unavailable")


async def test_the_page_of_the_mail_holds_no_token_and_runs_one_script(app):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=SITE.url) as client:
        page = await client.get("/v1/invitations/accept")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'sha256-" in policy
    assert "unsafe" not in policy
    assert page.headers["referrer-policy"] == "no-referrer"
