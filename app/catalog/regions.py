"""Where a listing stands: one spelling for what clouds write in many."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

_COUNTRY = re.compile(r"[A-Za-z]{2}", re.ASCII)
_SLUG_GAP = re.compile(r"[^a-z0-9]+")
_CONTINENTS = frozenset({"AF", "AN", "AS", "EU", "NA", "OC", "SA"})
_PREFIXES = {"us": "US", "canada": "CA", "norway": "NO"}
"""Regions of clouds that say no country but begin with one."""
_TRANSLATED = str.maketrans({"ð": "d", "ø": "o", "æ": "ae", "þ": "th", "ß": "ss", "ł": "l", "đ": "d", "ı": "i"})
_PLACE_MAX, _REGION_ID_MAX = 80, 64


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


def normalise_region(region_id: str, region_name: str, country: str | None) -> Region:
    """Return one spelling for a cloud's region, which may be an id (``US-East``) or a geolocation (``Oregon, US, NA``).

    A geolocation may lack its city (``, US, NA``) or have letters outside ASCII; a place nobody names is ``unknown``.
    """
    place = _read_geolocation(region_name) or _read_geolocation(region_id)
    code = _country(country) or (place.country if place else None)
    if place and not _is_plain(region_id):
        code = code or place.country
        city = _slug(place.city)
        name = f"{place.city}, {code}" if place.city else code
        return Region(f"{code.lower()}-{city}"[:_REGION_ID_MAX] if city else code.lower(), name[:_PLACE_MAX], code)
    slug = _slug(region_id) or _slug(region_name) or (code.lower() if code else "unknown")
    code = code or _PREFIXES.get(slug.partition("-")[0])
    name = _readable(region_name) or _readable(region_id) or code or "Unknown"
    if place:
        name = f"{place.city}, {place.country}" if place.city else place.country
    return Region(slug[:_REGION_ID_MAX], name[:_PLACE_MAX], code)


def _read_geolocation(text: str) -> _Geolocation | None:
    """Return city and country of ``City, CC`` or ``City, CC, Continent``, or None for any other text."""
    parts = [_readable(part) for part in text.split(",")]
    if len(parts) > 2 and parts[-1] in _CONTINENTS:  # noqa: PLR2004 - city, country, continent
        parts.pop()
    code = _country(parts[-1]) if len(parts) > 1 else None
    return _Geolocation(", ".join(part for part in parts[:-1] if part), code) if code else None


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
