"""Where a listing stands: one spelling for what clouds write in many."""

from __future__ import annotations

import functools
import re
import unicodedata
from dataclasses import dataclass

_COUNTRY = re.compile(r"[A-Za-z]{2}", re.ASCII)
_SLUG_GAP = re.compile(r"[^a-z0-9]+")
_CONTINENTS = frozenset({"AF", "AN", "AS", "EU", "NA", "OC", "SA"})
_PREFIXES = {"us": "US", "canada": "CA", "norway": "NO"}
"""Regions of clouds that say no country but begin with one."""
_TRANSLATED = str.maketrans({"ð": "d", "ø": "o", "æ": "ae", "þ": "th", "ß": "ss", "ł": "l", "đ": "d"})
_PLACE_MAX, _REGION_ID_MAX, _TEXT_MAX = 80, 64, 200


@dataclass(frozen=True, slots=True)
class Region:
    """A place: ``id`` is ASCII, lower case and fit for a URL; ``name`` is for people."""

    id: str
    name: str
    country: str | None
    """ISO 3166 alpha-2, upper case."""


@dataclass(frozen=True, slots=True)
class _Geolocation:
    city: str
    country: str
    continent: str | None


@functools.lru_cache(maxsize=4096)
def normalise_region(region_id: str, region_name: str, country: str | None) -> Region:
    """Return one spelling for a cloud's region, which may be an id (``US-East``) or a geolocation (``Oregon, US, NA``).

    A geolocation may lack its city (``, US, NA``) or have letters outside ASCII; a place nobody names is ``unknown``.
    """
    region_id, region_name = region_id[:_TEXT_MAX], region_name[:_TEXT_MAX]
    place = _read_geolocation(region_name) or _read_geolocation(region_id)
    code = _country(country)
    if place and code in {None, place.continent}:
        code = place.country
    if place:
        name = ", ".join(filter(None, (place.city, place.country)))
    else:
        name = _readable(region_name) or _readable(region_id)
    if place and not _is_plain(region_id):
        slug = "-".join(filter(None, (place.country.lower(), _slug(place.city))))
    else:
        slug = _slug(region_id) or _slug(region_name) or (code or "unknown").lower()
    code = code or _PREFIXES.get(slug.partition("-")[0])
    return Region(slug[:_REGION_ID_MAX], (name or code or "Unknown")[:_PLACE_MAX], code)


def _read_geolocation(text: str) -> _Geolocation | None:
    """Return city and country of ``City, CC`` or ``City, CC, Continent``, or None for any other text."""
    parts = [_readable(part) for part in text.split(",")]
    continent = parts.pop() if len(parts) > 2 and parts[-1] in _CONTINENTS else None  # noqa: PLR2004 - city, CC, continent
    code = _country(parts[-1]) if len(parts) > 1 else None
    return _Geolocation(", ".join(part for part in parts[:-1] if part), code, continent) if code else None


def _is_plain(region_id: str) -> bool:
    """Return whether a cloud gave a real id beside the place's name."""
    return bool(region_id.strip()) and "," not in region_id


def _country(text: str | None) -> str | None:
    stripped = (text or "").strip()
    return stripped.upper() if _COUNTRY.fullmatch(stripped) else None


def _readable(text: str) -> str:
    composed = unicodedata.normalize("NFC", text)
    return " ".join("".join(c if c.isprintable() else " " for c in composed).split())


def _slug(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.casefold().translate(_TRANSLATED))
    return _SLUG_GAP.sub("-", "".join(c for c in decomposed if not unicodedata.combining(c))).strip("-")
