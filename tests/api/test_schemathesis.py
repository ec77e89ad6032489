"""The API does what its description says, tried by a generator that knows nothing but the description."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import timedelta

import pytest
import schemathesis
import uvicorn
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from .conftest import START, new_world, serving

CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "ignored_auth",
    "unsupported_method",
]
QUICK = (["examples", "fuzzing"], 2)
THOROUGH = (["examples", "coverage", "fuzzing"], 25)
"""Phases, and how many examples of each operation. The coverage phase alone asks some listings 300 times."""


@pytest.fixture
async def url(world):
    """Where the application listens. Its market is a second old, so that a refresh by hand waits for nobody."""
    served = new_world(world.databases, stripe=world.state.topups.stripe)
    served.clock.at = START + timedelta(seconds=1)
    async with serving(uvicorn.Config(served.app, lifespan="off", log_config=None, access_log=False)) as made:
        yield made


def failures_of(document, url, secret, phases, examples):
    """Run every phase that needs no state and return what was found, and how many requests that took."""
    config = SchemathesisConfig.from_dict({"seed": 1, "generation": {"deterministic": True, "max-examples": examples}})
    schema = schemathesis.openapi.from_dict(document, config=config)
    schema.config.update(base_url=url, headers={"Authorization": f"Bearer {secret}"}, continue_on_failure=True)
    schema.config.checks.update(included_check_names=CHECKS)
    schema.config.phases.update(phases=phases)
    found, requests, errors = {}, 0, []
    for event in from_schema(schema).execute():
        if isinstance(event, events.NonFatalError | events.FatalError):
            errors.append(str(event.value if isinstance(event, events.NonFatalError) else event.exception))
        if not isinstance(event, events.ScenarioFinished):
            continue
        requests += len(event.recorder.interactions)
        for case_id, checks in event.recorder.checks.items():
            for check in checks:
                if check.failure_info is not None:
                    case = event.recorder.cases[case_id].value
                    failure = check.failure_info.failure
                    key = (event.label, type(failure).__name__)
                    found.setdefault(key, f"{failure.message[:400]} | {case.as_curl_command()[:600]}")
    return found, requests, errors


@pytest.fixture
def quick_turns():
    """The generator and the server share an interpreter: neither keeps it for long."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0002)
    yield
    sys.setswitchinterval(before)


async def test_the_api_keeps_to_its_description(world, tenant, url, quick_turns) -> None:
    await keeps_to_its_description(world, tenant, url, *QUICK, requests_min=200)


@pytest.mark.soak
@pytest.mark.timeout(1800)
async def test_the_api_keeps_to_its_description_in_every_corner(world, tenant, url, quick_turns) -> None:
    await keeps_to_its_description(world, tenant, url, *THOROUGH, requests_min=2_000)


async def keeps_to_its_description(world, tenant, url, phases, examples, *, requests_min) -> None:
    document = json.loads(json.dumps(world.app.openapi()))
    secret = tenant.caller.secret
    found, requests, errors = await asyncio.to_thread(failures_of, document, url, secret, phases, examples)
    assert errors == []
    assert requests > requests_min
    assert "\n".join(f"{where} {kind}: {told}" for (where, kind), told in found.items()) == ""
