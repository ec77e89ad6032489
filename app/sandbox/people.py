"""The people that a sandbox's GitHub knows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GithubEmail:
    """An address of somebody's."""

    email: str
    primary: bool = True
    verified: bool = True


@dataclass(frozen=True, slots=True)
class GithubPerson:
    """Somebody with an account at GitHub. The id stays; the login can be changed and taken by somebody else."""

    id: int
    login: str
    name: str | None
    emails: tuple[GithubEmail, ...]


DEMO_PEOPLE = (
    GithubPerson(9000001, "demo-owner", "Demo Owner", (GithubEmail("owner@demo.example"),)),
    GithubPerson(9000002, "demo-lead", "Demo Lead", (GithubEmail("lead@demo.example"),)),
    GithubPerson(9000003, "demo-member", None, (GithubEmail("member@demo.example"),)),
)
