"""Rentals: one rental's life: quote, request, place, meter, stop.

Promised: nothing is billed before the machine passed its check nor after a stop was accepted; a crash at any instant
leaves a row that says what was about to happen; a machine that no live attempt owns is destroyed; an attempt sends at
most one create. A machine that is off costs its disk; who waits is served in turn, and pays nothing meanwhile.
States: see ``states``. Tables: rentals, attempts, rental_runs, rental_logs, quotes, ssh_keys, templates, orphans,
gpu_use.
The API writes what is wanted; only the worker's reconcilers speak with clouds and machines.
Packages, each above the one before: ``asking`` (what is wished for), ``placing`` (a machine for it), ``keeping`` (what
runs, sleeps, waits and ends), ``showing`` (HTTP).
"""

from app.rentals.asking.requesting import Requested, quote, request
from app.rentals.keeping.hibernating import hibernate
from app.rentals.keeping.idleness import IDLE_PERCENT
from app.rentals.keeping.stopping import stop
from app.rentals.placing.resuming import resume
from app.rentals.states import Stage, Status
from app.rentals.tools import Limits, PlatformKey, Tools

__all__ = [
    "IDLE_PERCENT",
    "Limits",
    "PlatformKey",
    "Requested",
    "Stage",
    "Status",
    "Tools",
    "hibernate",
    "quote",
    "request",
    "resume",
    "stop",
]
