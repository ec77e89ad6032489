"""The feed: all of an account's events in one order in which none ever comes before one that was read already."""
