"""Finding: a thing that is not there and an id that nothing can have are told in the same words."""

from __future__ import annotations

from typing import TypeVar

from app.kit.errors import NotFound
from app.kit.ids import Id

Known = TypeVar("Known", bound=Id)
Thing = TypeVar("Thing")


def known(kind: type[Known], text: str, noun: str) -> Known:
    """Return the id that a text from outside stands for.

    Raises:
        NotFound: it is none of this kind.
    """
    try:
        return kind.parse(text)
    except ValueError:
        raise nothing(noun) from None


def found(thing: Thing | None, noun: str) -> Thing:
    """Return a thing that was looked for.

    Raises:
        NotFound: it is not there.
    """
    if thing is None:
        raise nothing(noun)
    return thing


def nothing(noun: str) -> NotFound:
    """Return the error that there is no such thing."""
    return NotFound(f"There is no such {noun}.")
