"""Stand-ins that speak the real protocols of the clouds; for the demo and the tests."""
