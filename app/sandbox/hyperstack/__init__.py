"""Hyperstack: flavors by region, environments, machines that hibernate."""
