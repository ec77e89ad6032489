"""What a machine is launched with: the image, ports, disk, environment, script. Built-in templates are data here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

TIMEOUT_ON_INTERRUPT_SECONDS: Final = 60
RECOVERY_SECONDS: Final = 900


@dataclass(frozen=True, slots=True)
class Launch:
    """What runs on the machine. ``env`` may hold secrets and is stored sealed, apart from the rest."""

    image: str
    template: str | None = None
    disk_gb: int = 20
    ports: tuple[int, ...] = ()
    startup_script: str | None = None
    on_interrupt: str | None = None
    """A script that saves what it can before the cloud takes the machine back."""
    timeout_on_interrupt: int = TIMEOUT_ON_INTERRUPT_SECONDS
    checkpoint_uri: str | None = None
    """Where that script saves to and the startup script finds it: told to both, not looked at."""
    recovery_seconds: int = RECOVERY_SECONDS
    """How long another machine is looked for."""
    probe: Mapping[str, Any] | None = None
    """``{"command", "timeout_seconds"}``: the customer's own check."""
    env: Mapping[str, str] = field(default_factory=dict, repr=False)

    def stored(self) -> dict[str, Any]:
        """Return everything but the environment's values, as JSON."""
        return {
            "image": self.image,
            "template": self.template,
            "disk_gb": self.disk_gb,
            "ports": list(self.ports),
            "startup_script": self.startup_script,
            "probe": None if self.probe is None else dict(self.probe),
            "on_interrupt": self.on_interrupt,
            "timeout_on_interrupt": self.timeout_on_interrupt,
            "checkpoint_uri": self.checkpoint_uri,
            "recovery_seconds": self.recovery_seconds,
            "env_names": sorted(self.env),
        }

    @classmethod
    def restored(cls, stored: Mapping[str, Any], *, env: Mapping[str, str] | None = None) -> Launch:
        """Return what ``stored`` told, with the environment beside it."""
        told = {name: value for name, value in stored.items() if name != "env_names"}
        return cls(**{**told, "ports": tuple(stored["ports"])}, env=env or {})


BUILT_IN: Final[Mapping[str, Launch]] = {
    "ubuntu-24-04": Launch(image="nvidia/cuda:12.8.1-base-ubuntu24.04", template="ubuntu-24-04"),
    "pytorch": Launch(image="pytorch/pytorch:2.8.0-cuda12.8-cudnn9-runtime", template="pytorch"),
    "vllm": Launch(image="vllm/vllm-openai:v0.11.0", template="vllm", disk_gb=80, ports=(8000,)),
    "sglang": Launch(image="lmsysorg/sglang:v0.5.3-cu126", template="sglang", disk_gb=80, ports=(30000,)),
    "tgi": Launch(image="ghcr.io/huggingface/text-generation-inference:3.3.6", template="tgi", disk_gb=80, ports=(80,)),
    "ollama": Launch(image="ollama/ollama:0.12.3", template="ollama", disk_gb=60, ports=(11434,)),
}
DEFAULT_TEMPLATE: Final = "ubuntu-24-04"
