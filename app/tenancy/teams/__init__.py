"""Teams: parts of an account, with members, some of whom lead.

Promises: a team's name is its own among the account's teams that are not archived; nobody is in a team who is not in
the account. Tables: teams, team_members. A team is archived and never deleted: what it spent stays told.
"""

from app.tenancy.teams.teams import Team, find_team, get_team, known_team_id, known_user_id, list_teams

__all__ = ["Team", "find_team", "get_team", "known_team_id", "known_user_id", "list_teams"]
