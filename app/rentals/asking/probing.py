"""A rental's own probe as callers send it: a command that must succeed on the machine before it is billed."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field

from app.web.schemas import Lines, Wire

PROBE_CHARACTERS_MAX: Final = 8 * 1024
PROBE_SECONDS_MAX: Final = 60
TRIES_MAX: Final = 3
"""A command that fails on so many machines is what fails: no further one is rented for it."""


class Probe(Wire):
    """A command that has to end with status 0, in time, before the machine is the customer's and is billed.

    It runs after our own check, with the rental's environment, by ``sh`` or what its ``#!`` line names.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"command": "python3 -c 'import torch; torch.ones(1).cuda()'", "timeout_seconds": 45}]
        }
    )

    command: Annotated[Lines, Field(min_length=1, max_length=PROBE_CHARACTERS_MAX)]
    timeout_seconds: Annotated[int, Field(ge=1, le=PROBE_SECONDS_MAX)] = 30

    def stored(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"command": self.command, "timeout_seconds": self.timeout_seconds}
