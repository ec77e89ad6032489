"""Modal: containers by GPU string, at fixed prices per second, for a day at most; no list of what there is, no stop."""

from app.providers.modal_cloud.adapter import ModalProvider

__all__ = ["ModalProvider"]
