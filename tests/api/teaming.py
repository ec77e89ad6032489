"""What furnishes a tenant with people: a team with a member and a wish of hers, an invitation, and a webhook that was tried."""

from __future__ import annotations

from typing import Any

from .staff import join, sign_in, team


async def gather(world: Any, tenant: Any) -> dict[str, list[str]]:
    """Return the ids of what came of it."""
    member = await join(world, tenant.account_id, "member")
    team_id = await team(tenant, (member, "member"))
    asked = await member.ask("POST", f"/v1/teams/{team_id}/policy/requests", REQUEST)
    assert asked.status == 201, asked.text
    invitation = await tenant.caller.made("/v1/invitations", {"email": "new@example.com", "role": "member"})
    hook = await tenant.caller.made("/v1/webhooks", {"url": "https://example.com/hook", "types": ["rental.*"]})
    chosen = await tenant.caller.ask("PUT", "/v1/account/notifications", {"budget_alerts": False})
    assert chosen.status == 200, chosen.text
    delivery = await tenant.caller.made(f"/v1/webhooks/{hook['id']}/test", None)
    return {
        "teams": [team_id],
        "members": [member.id],
        "requests": [asked.json()["id"]],
        "invitations": [invitation["id"]],
        "webhooks": [hook["id"]],
        "deliveries": [delivery["id"]],
        "sessions": [await sign_in(world, member)],
        "chargeback": ["2026-03"],
    }


REQUEST = {"changes": {"max_instances": 12}, "reason": "a deadline"}
