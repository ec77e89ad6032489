"""Reports on the wire: spending and chargebacks."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from app.reports.asking import SpendQuery
from app.reports.charging_back import Chargeback, Part
from app.reports.spending import Spending, Spent, Sums
from app.web.schemas import MoneyOut, TimeOut, Wire


class SumsOut(Wire):
    """What was billed."""

    seconds: int
    charged: MoneyOut
    refunded: MoneyOut
    net: MoneyOut
    """`charged` less `refunded`."""

    @classmethod
    def of(cls, sums: Sums) -> SumsOut:
        """Return sums in their form."""
        return cls(seconds=sums.seconds, charged=sums.charged, refunded=sums.refunded, net=sums.net)


class GroupOut(SumsOut):
    """One group of a report."""

    key: str | None
    """The team's, person's or key's id, the tag's value, family, provider or day; null for what has none."""
    name: str
    rentals: int
    """One that moved between providers or days is in several groups."""

    @classmethod
    def named(cls, spent: Spent, name: str) -> GroupOut:
        """Return a group in its form."""
        sums = SumsOut.of(spent.sums).__dict__
        return cls(key=spent.key, name=name, rentals=spent.rentals, **sums)


class OthersOut(SumsOut):
    """The groups that are not shown."""

    groups: int


class SpendReport(Wire):
    """Spending, those groups first that cost most; days newest first. The total is the ledger's, to the micro-dollar."""

    object: Literal["spend_report"] = "spend_report"
    group_by: str
    since: date
    until: date
    """The first day that is not in it any more."""
    as_of: TimeOut
    currency: Literal["usd"] = "usd"
    coverage: Literal["account", "reach"]
    """`reach`: only what the caller's teams and the caller rented."""
    groups: list[GroupOut]
    others: OthersOut | None
    total: SumsOut

    @classmethod
    def of(
        cls, spending: Spending, query: SpendQuery, names: dict[str | None, str], *, is_whole: bool, at: datetime
    ) -> SpendReport:
        """Return a report in its form."""
        days, hidden = query.days(at), spending.count - len(spending.groups)
        return cls(
            group_by=query.group_by,
            since=days.since,
            until=days.until,
            as_of=at,
            coverage="account" if is_whole else "reach",
            groups=[GroupOut.named(group, names[group.key]) for group in spending.groups],
            others=OthersOut(groups=hidden, **SumsOut.of(spending.others).__dict__) if hidden else None,
            total=SumsOut.of(spending.total),
        )


class FamilyOut(SumsOut):
    """A team's part on one family of GPUs."""

    family: str | None
    rentals: int


class PartOut(SumsOut):
    """A team's part of the month."""

    team_id: str | None
    """Null for what belongs to no team."""
    team: str
    rentals: int
    families: list[FamilyOut]
    """They add up to the team's part."""

    @classmethod
    def of_part(cls, part: Part) -> PartOut:
        """Return a part in its form."""
        families = [
            FamilyOut(family=one.key, rentals=one.rentals, **SumsOut.of(one.sums).__dict__) for one in part.families
        ]
        sums = SumsOut.of(part.sums).__dict__
        return cls(team_id=part.team_id, team=part.name, rentals=part.rentals, families=families, **sums)


class ChargebackOut(Wire):
    """An account's month by team, dearest first. The total is the ledger's, to the micro-dollar."""

    object: Literal["chargeback"] = "chargeback"
    month: str
    account_id: str
    account_name: str
    currency: Literal["usd"] = "usd"
    as_of: TimeOut
    final: bool
    """Over, and settled to its end: the amounts do not change any more."""
    coverage: Literal["account", "reach"]
    teams: list[PartOut]
    total: SumsOut

    @classmethod
    def of(cls, told: Chargeback, *, account_id: str, account_name: str) -> ChargebackOut:
        """Return a chargeback in its form."""
        return cls(
            month=str(told.month),
            account_id=account_id,
            account_name=account_name,
            as_of=told.as_of,
            final=told.final,
            coverage="account" if told.is_whole else "reach",
            teams=[PartOut.of_part(part) for part in told.parts],
            total=SumsOut.of(told.total),
        )
