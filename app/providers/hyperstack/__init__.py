"""Hyperstack: whole machines by flavor and region, some by spot; they hibernate, and a stopped one costs as before."""

from app.providers.hyperstack.adapter import HyperstackProvider

__all__ = ["HyperstackProvider"]
