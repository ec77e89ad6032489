"""Sandbox: stand-ins that speak the real wire protocols of the GPU clouds, of Stripe and GitHub, for demo and tests.

Promises: all of them on one port of this machine (Modal, which speaks gRPC, on one of its own), at their own paths and
to the letter of their protocols, so that their official clients work against it; machines that boot, really answer on
SSH, are billed and end; markets whose prices and stocks move by a seed; every fault of ``faults`` on demand, in process
and under ``/_sandbox/``. The ledger of machines, ``Sandbox.truth``, is what bills are audited against. Nothing outlives
``Sandbox.aclose``.

Imports nothing of the app but kit. No tables.
"""

from __future__ import annotations

from app.sandbox.config import SandboxConfig
from app.sandbox.faults import Fault
from app.sandbox.server import Sandbox

__all__ = ["Fault", "Sandbox", "SandboxConfig"]
