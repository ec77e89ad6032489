"""Machines priced by a sheet: their cloud rents them out through a desk of five HTTP calls and tells no price."""

from app.providers.manual.adapter import ManualProvider

__all__ = ["ManualProvider"]
