"""What a sandbox is told at its start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from app.sandbox.people import DEMO_PEOPLE, GithubPerson


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxConfig:
    """Everything that makes one sandbox differ from another. Equal seeds and calls give equal markets."""

    seed: int = 1
    boot_seconds: float = 2.0
    """From the create until the machine runs and its SSH server answers."""
    terminate_seconds: float = 0.5
    """Lambda and Hyperstack: how long a machine is on its way out, and billed."""
    terminated_seconds: float = 30.0
    """Lambda: how long a terminated machine is still listed."""
    market: Path | None = None
    """A folder with ``vast-offers.csv`` and ``lambda-types.csv``; the built-in market without."""
    vast_key: str = "sandbox-vast-key"
    lambda_key: str = "sandbox-lambda-key"
    runpod_key: str = "sandbox-runpod-key"
    hyperstack_key: str = "sandbox-hyperstack-key"
    desk_token: str = "sandbox-desk-token"  # noqa: S105 - what anybody may know
    modal_token_id: str = "ak-sandbox"  # noqa: S105 - what anybody may know
    modal_token_secret: str = "as-sandbox"  # noqa: S105 - what anybody may know
    modal_port: int = 0
    """Where Modal answers: gRPC has a port of its own. 0 takes a free one."""
    ssh_port: int = 2222
    """Where machines with addresses of their own listen: Lambda's on 127.77.x.y, Hyperstack's on 127.78.x.y. 0 takes a free
    one."""
    home: Path | None = None
    """Where the machines' homes are; a temporary folder, removed at the end, without."""
    price_step_seconds: float = 60.0
    """How often prices and stocks move; 0 for never."""
    charges_lag_seconds: float = 0.0
    """Vast, RunPod and Hyperstack: how far the books of realised charges run behind."""
    rate_limits: bool = False
    """Whether the clouds' documented rate limits hold from the start."""
    stripe_key: str = "sk_test_sandbox"
    stripe_webhook_url: str | None = None
    """Where Stripe's events are sent; nowhere without."""
    stripe_webhook_secret: str = "whsec_sandbox"  # noqa: S105 - what anybody may know
    stripe_pages_url: str | None = None
    """Under which address a browser reaches Stripe's pages; the API's own without."""
    stripe_retry_seconds: float = 1.0
    """How long until an event that was not taken is sent again; twice as long each time."""
    stripe_settle_seconds: float | None = None
    """How long refunds and bank debits take whose outcome comes later; None: until told."""
    stripe_tax_basis_points: int = 0
    """The tax on checkout sessions with automatic tax."""
    github_client_id: str = "sandbox-github"
    github_client_secret: str = "sandbox-github-secret"  # noqa: S105 - what anybody may know
    github_callback_url: str = "http://127.0.0.1/v1/auth/github/callback"
    """What is registered there; on a loopback host it stands for every port."""
    github_people: tuple[GithubPerson, ...] = DEMO_PEOPLE
    """Who can sign in."""
