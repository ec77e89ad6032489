"""Charging: a wallet's rule asks, its card is charged without its owner present."""
