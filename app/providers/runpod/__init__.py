"""RunPod: containers on its own data centres' hosts and on a community's, per second. A stop keeps the place, not the GPU."""

from app.providers.runpod.adapter import RunpodProvider

__all__ = ["RunpodProvider"]
