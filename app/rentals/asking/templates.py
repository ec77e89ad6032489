"""Templates: the six built-in ones, which are data in ``launching``, and an account's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import dropwhile
from typing import Any, Literal

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import sqlstate
from app.kit.errors import NotFound
from app.kit.ids import AccountId, TemplateId
from app.rentals import queries
from app.rentals.asking.interruption_wishes import InterruptionView, shown_interruption
from app.rentals.asking.launching import BUILT_IN, Launch
from app.rentals.asking.probing import Probe
from app.rentals.asking.wishes import TemplateCreate, TemplateUpdate
from app.rentals.errors import NameTaken, UnknownReference
from app.rentals.models import TemplateRow
from app.web import etag
from app.web.errors import Forbidden
from app.web.schemas import TimeOut

_UNIQUE_VIOLATION = "23505"


class Template(InterruptionView):
    """What a machine can be launched with. A built-in template's id is its name."""

    id: str
    object: Literal["template"] = "template"
    name: str
    built_in: bool
    image: str
    ports: list[int]
    startup_script: str | None
    probe: Probe | None
    disk_gb: int
    created_at: TimeOut | None

    @classmethod
    def own(cls, row: TemplateRow) -> Template:
        """Return an account's template as it is shown."""
        return _shown(row.id, row.name, row.launch, created_at=row.created_at)

    @classmethod
    def built(cls, name: str) -> Template:
        """Return a built-in template as it is shown."""
        return _shown(name, name, BUILT_IN[name].stored(), created_at=None)


async def launch_of(session: AsyncSession, template: str, *, account_id: AccountId) -> Launch:
    """Return what a template, by name or id, launches.

    Raises:
        UnknownReference: there is no such template.
    """
    if (built_in := BUILT_IN.get(template)) is not None:
        return built_in
    row = await queries.find_template(session, account_id=account_id, template_id=_canonical(template))
    if row is None:
        problem = {"pointer": "/template", "code": "unknown", "message": "names no template of this account"}
        raise UnknownReference(errors=[problem])
    return Launch.restored({**row.launch, "template": row.name})


async def list_templates(
    session: AsyncSession, *, account_id: AccountId, after: str | None, limit: int
) -> list[Template]:
    """Return an account's templates, newest first, then the built-in ones."""
    if after in BUILT_IN:
        own: Sequence[TemplateRow] = ()
        names = list(dropwhile(lambda name: name != after, BUILT_IN))[1:]
    else:
        own = await queries.list_templates(session, account_id=account_id, before=after, limit=limit)
        names = list(BUILT_IN)
    return [*(Template.own(row) for row in own), *(Template.built(name) for name in names)][:limit]


async def get_template(session: AsyncSession, template_id: str, *, account_id: AccountId) -> TemplateRow:
    """Return an own template by id or name.

    Raises:
        NotFound: this account has no such template.
    """
    row = await queries.find_template(session, account_id=account_id, template_id=_canonical(template_id))
    if row is None:
        raise NotFound("There is no such template.")
    return row


async def lock_own(session: AsyncSession, template_id: str, *, account_id: AccountId) -> TemplateRow:
    """Return an own template by id or name, under its row lock.

    Raises:
        Forbidden: it is a built-in one.
        NotFound: this account has no such template.
    """
    if template_id in BUILT_IN:
        raise Forbidden("Built-in templates can't be changed; make an own one.")
    row = await queries.lock_template(session, account_id=account_id, template_id=_canonical(template_id))
    if row is None:
        raise NotFound("There is no such template.")
    return row


async def add_template(
    session: AsyncSession, body: TemplateCreate, *, account_id: AccountId, at: datetime
) -> TemplateRow:
    """Keep a template.

    Raises:
        NameTaken: another one, or a built-in one, has this name.
    """
    launch = Launch(
        image=body.image,
        disk_gb=body.disk_gb,
        ports=tuple(body.ports),
        startup_script=body.startup_script,
        probe=body.probe.stored() if body.probe else None,
    )
    launch = replace(launch, **body.on_interruption(launch))
    row = TemplateRow(
        account_id=account_id,
        id=TemplateId.new(),
        version=1,
        name=body.name,
        launch=launch.stored(),
        created_at=at,
    )
    session.add(row)
    await _save(session, row)
    return row


async def update_template(session: AsyncSession, row: TemplateRow, body: TemplateUpdate) -> None:
    """Change an own template. Rentals that were launched with it stay as they are.

    Raises:
        NameTaken: another one, or a built-in one, has this name.
    """
    changes: dict[str, Any] = {name: getattr(body, name) for name in body.model_fields_set}
    row.name = changes.pop("name", row.name)
    if body.probe is not None:
        changes["probe"] = body.probe.stored()
    row.launch = {**row.launch, **changes}
    row.version += 1
    await _save(session, row)


def template_etag(row: TemplateRow) -> str:
    """Return the tag of a template's version."""
    return etag(row.id, row.version)


async def _save(session: AsyncSession, row: TemplateRow) -> None:
    """Write now, so that a name which is taken is told as such. The transaction is lost then, and nothing else was in it."""
    if row.name in BUILT_IN:
        raise NameTaken
    try:
        await session.flush()
    except IntegrityError as error:
        if sqlstate(error) == _UNIQUE_VIOLATION:
            raise NameTaken from None
        raise


def _canonical(text: str) -> str:
    try:
        return str(TemplateId.parse(text))
    except ValueError:
        return text


def _shown(template_id: str, name: str, launch: dict[str, Any], *, created_at: datetime | None) -> Template:
    return Template(
        id=template_id,
        name=name,
        built_in=created_at is None,
        image=launch["image"],
        ports=launch["ports"],
        startup_script=launch["startup_script"],
        probe=launch.get("probe"),
        **shown_interruption(launch),
        disk_gb=launch["disk_gb"],
        created_at=created_at,
    )
