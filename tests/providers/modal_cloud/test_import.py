"""The SDK is an extra: nothing imports it before it is needed, and without it only Modal is missing."""

from __future__ import annotations

import subprocess
import sys

APART = """
import sys
import app.providers, app.sandbox.config
told = ["modal", "modal_proto", "grpclib"]
assert not set(told) & set(sys.modules), "the SDK was imported"
sys.modules.update(dict.fromkeys(told))  # as if it were not installed
import asyncio
from app.providers import ModalProvider, Unavailable
from app.sandbox import Sandbox, SandboxConfig

async def main():
    modal = ModalProvider(token_id="ak", token_secret="as", server_url="http://127.0.0.1:9")
    try:
        await modal.list_offers()
    except Unavailable as error:
        assert error.message == "the modal package is not installed"
    await modal.aclose()
    sandbox = await Sandbox.start(SandboxConfig(ssh_port=0))
    assert sandbox.modal_url == ""
    assert {offer["provider"] for offer in sandbox.offers()} >= {"vast", "lambda"}
    await sandbox.aclose()

asyncio.run(main())
"""


def test_without_the_sdk_only_modal_is_missing():
    done = subprocess.run([sys.executable, "-c", APART], capture_output=True, timeout=60, text=True, check=False)
    assert done.returncode == 0, done.stderr
