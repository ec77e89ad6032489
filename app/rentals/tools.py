"""What the reconcilers work with; built once by the worker's composition."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from app.kit.clock import Clock
from app.kit.db import Database
from app.kit.private_files import keep_private, read_private
from app.kit.vault import Vault
from app.machines import Shell, open_shell
from app.providers import Provider


@dataclass(frozen=True, slots=True)
class Limits:
    """How long each step of a launch may take at one cloud, in seconds."""

    create_seconds: int = 60
    boot_seconds: int = 300
    check_seconds: int = 90
    provisioning_seconds: int = 900
    poll_seconds: float = 2.0
    unfound_seconds: int = 900
    """After a create whose outcome is unknown: how long a machine with its marker may still turn up."""
    host_lost_seconds: int = 120
    full_refund_seconds: int = 600
    """A host that fails so soon after ``running`` costs the customer nothing."""
    avoid_seconds: int = 600
    """How long an offer that failed is offered to nobody."""
    taken_seconds: int = 120
    """How long an offer that we took is offered to nobody: until a refresh has seen that it is gone."""
    quarantine_seconds: int = 86_400
    orphan_seconds: int = 60
    """How long an unowned machine is watched before it is destroyed: its row may be about to be written."""
    absorb_percent: int = 25
    """How much dearer than the locked rate a fall-through listing may be; the difference is ours."""


@dataclass(frozen=True, slots=True)
class PlatformKey:
    """The key pair by which machines are checked: OpenSSH private text, and the public line."""

    private: str = field(repr=False)
    public: str

    @classmethod
    def kept(cls, path: Path, *, seed: bytes) -> PlatformKey:
        """Return the key pair kept in a file, making it first from 32 bytes.

        So workers on several machines that share the seed come to the same one; once there, the file counts, so that
        machines which know the old key can be reached after the secret was changed.

        Raises:
            ExposedFileError: the file can be read by others.
        """
        if (text := read_private(path)) is None:
            new = Ed25519PrivateKey.from_private_bytes(seed)
            made = new.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
            path.parent.mkdir(parents=True, exist_ok=True)
            text = keep_private(path, made)
        key = load_ssh_private_key(text.encode() + b"\n", password=None)
        public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        return cls(private=text + "\n", public=f"{public} hourglass")


@dataclass(frozen=True, slots=True)
class Tools:
    """The worker's hands."""

    db: Database
    providers: Mapping[str, Provider]
    platform_key: PlatformKey
    vault: Vault
    clock: Clock
    deployment: str
    """Eight characters that tell our machines from those of another deployment in the same cloud account."""
    limits: Limits = field(default_factory=Limits)
    limits_of: Mapping[str, Limits] = field(default_factory=dict)
    open_shell: Callable[..., AbstractAsyncContextManager[Shell]] = open_shell
    """How a machine is reached."""

    def limits_for(self, provider: str) -> Limits:
        """Return a cloud's limits."""
        return self.limits_of.get(provider, self.limits)

    @property
    def marker_prefix(self) -> str:
        """What every marker of this deployment begins with."""
        return f"hg-{self.deployment}-"

    def marker(self, rental_id: str, number: int) -> str:
        """Return the marker of one attempt's machine."""
        return f"{self.marker_prefix}{rental_id}-{number}"

    def attempt_of(self, marker: str) -> tuple[str, int] | None:
        """Return (rental id, attempt number) of a marker of ours; None for anything else."""
        rental_id, dash, number = marker.removeprefix(self.marker_prefix).rpartition("-")
        if not dash or not number.isdecimal() or not marker.startswith(self.marker_prefix):
            return None
        return rental_id, int(number)
