"""Requests for another policy: asked for by who may not set it, decided by who may."""
