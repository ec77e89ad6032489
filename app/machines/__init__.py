"""Machines: a rented machine reached over SSH: is it what was sold, whose keys does it take, what does its script say.

Promised: every call has a deadline and a bound on what it reads; a customer's text never becomes part of a command; a
machine's host key, once seen, may not change. No tables, no business: called by rentals' reconcilers alone, and for the
form of public keys by its endpoints.
"""

from app.machines.authorized_keys import set_authorized_keys
from app.machines.checking import Expectation, Failed, Floor, Gpu, Measured, Passed, check
from app.machines.checkpointing import Checkpoint, save_checkpoint
from app.machines.jobs import environment_file
from app.machines.public_keys import MalformedKey, PublicKey, WeakKey, parse_public_key
from app.machines.shell import (
    AnswerTooLong,
    AuthRefused,
    HostKeyChanged,
    Shell,
    ShellError,
    TimedOut,
    Unreachable,
    open_shell,
)
from app.machines.startup import LogChunk, read_log, start_script
from app.machines.trying import try_out
from app.machines.utilisation import look

__all__ = [
    "AnswerTooLong",
    "AuthRefused",
    "Checkpoint",
    "Expectation",
    "Failed",
    "Floor",
    "Gpu",
    "HostKeyChanged",
    "LogChunk",
    "MalformedKey",
    "Measured",
    "Passed",
    "PublicKey",
    "Shell",
    "ShellError",
    "TimedOut",
    "Unreachable",
    "WeakKey",
    "check",
    "environment_file",
    "look",
    "open_shell",
    "parse_public_key",
    "read_log",
    "save_checkpoint",
    "set_authorized_keys",
    "start_script",
    "try_out",
]
