"""On whose account something is spent. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from app.kit.ids import AccountId, ApiKeyId, TeamId, UserId
from app.policies.errors import UnknownTeam
from app.web.principal import Principal, SpendLimit


@dataclass(frozen=True, slots=True)
class Spender:
    """Everyone whose caps and budgets a rental counts against."""

    account_id: AccountId
    team_id: TeamId | None = None
    user_id: UserId | None = None
    key_id: ApiKeyId | None = None
    limit: SpendLimit | None = None
    """The key's own."""

    @classmethod
    def of(cls, principal: Principal, team_id: str | None = None) -> Spender:
        """Return who spends when a caller asks for something, for a team or for none.

        A key's team is implied. A member of one team spends for it; a member of several says for which.

        Raises:
            UnknownTeam: it is beyond the caller's reach, or was not said. That it exists is not yet known.
        """
        return cls(
            account_id=principal.account_id,
            team_id=_team(principal, team_id),
            user_id=principal.user_id,
            key_id=principal.key_id,
            limit=principal.limit,
        )

    @classmethod
    def of_no_team(cls, principal: Principal) -> Spender:
        """Return who spends when a caller asks for something for no team, or for its key's."""
        return cls(
            account_id=principal.account_id,
            team_id=principal.team_id,
            user_id=principal.user_id,
            key_id=principal.key_id,
            limit=principal.limit,
        )

    @property
    def subjects(self) -> tuple[str, ...]:
        """The ids of those whose policies apply, the widest first."""
        return tuple(found for found in (self.account_id, self.team_id, self.user_id, self.key_id) if found)


def _team(principal: Principal, named: str | None) -> TeamId | None:
    if named is None:
        return _implied(principal)
    try:
        team_id = TeamId.parse(named)
    except ValueError:
        raise UnknownTeam.named() from None
    if principal.team_id not in {None, team_id} or (principal.reach is not None and team_id not in principal.reach):
        raise UnknownTeam.named()
    return team_id


def _implied(principal: Principal) -> TeamId | None:
    if principal.team_id is not None:
        return principal.team_id
    if not principal.reach:
        return None
    if len(principal.reach) > 1:
        raise UnknownTeam.ambiguous()
    [only] = principal.reach
    return only
