"""Hyperstack in its own wire, for scenes that are about something else."""

from __future__ import annotations

import httpx
import pytest

RULE = {
    "direction": "ingress",
    "ethertype": "IPv4",
    "protocol": "tcp",
    "remote_ip_prefix": "0.0.0.0/0",
    "port_range_min": 22,
    "port_range_max": 22,
}
BODY = {
    "name": "own-1",
    "environment_name": "default-CANADA-1",
    "image_name": "Ubuntu Server 22.04 LTS R535 CUDA 12.2",
    "flavor_name": "n3-A100x1",
    "key_name": "k1",
    "count": 1,
    "assign_floating_ip": True,
    "enable_port_randomization": False,
    "labels": ["own-1"],
    "security_rules": [RULE],
}


class Hyperstack:
    """A few calls, and waiting for a status."""

    def __init__(self, http: httpx.AsyncClient, until) -> None:
        self.http = http
        self.until = until

    async def ready(self, public_key: str = "ssh-ed25519 AAAAC3Nz k1") -> None:
        """Have an environment with a key in it."""
        await self.http.post("/core/environments", json={"name": "default-CANADA-1", "region": "CANADA-1"})
        key = {"name": "k1", "environment_name": "default-CANADA-1", "public_key": public_key}
        (await self.http.post("/core/keypairs", json=key)).raise_for_status()

    async def create(self, **more: object) -> httpx.Response:
        return await self.http.post("/core/virtual-machines", json={**BODY, **more})

    async def created(self, **more: object) -> int:
        return (await self.create(**more)).raise_for_status().json()["instances"][0]["id"]

    async def get(self, number: int) -> dict | None:
        answer = await self.http.get(f"/core/virtual-machines/{number}")
        return None if answer.status_code == 404 else answer.raise_for_status().json()["instance"]

    async def do(self, number: int, deed: str) -> httpx.Response:
        return await self.http.get(f"/core/virtual-machines/{number}/{deed}")

    async def reaches(self, number: int, status: str) -> dict:
        async def there():
            row = await self.get(number)
            return row if row and row["status"] == status else None

        return await self.until(there)


@pytest.fixture
async def hyperstack(sandbox, until):
    key = {"api_key": sandbox.config.hyperstack_key}
    async with httpx.AsyncClient(base_url=f"{sandbox.url}/v1", headers=key) as http:
        yield Hyperstack(http, until)
