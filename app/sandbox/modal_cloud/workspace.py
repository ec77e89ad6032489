"""What a Modal workspace holds beside its sandboxes: apps, environments, images, secrets and who one is."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from grpclib import GRPCError, Status
from modal_proto import api_pb2

from app.sandbox.modal_cloud.serving import Rpc

_BUILDER_VERSION = "2025.06"
_TOKEN_EXPIRES = 4_102_444_800
"""Long after anybody's clock: nothing here is worth a shorter life."""
_PRIVATE = "private/"


class Workspace:
    """Objects by name, each made once."""

    def __init__(self, new_id: Callable[[str], str]) -> None:
        self._new_id = new_id
        self._ids: dict[tuple[str, ...], str] = {}
        self.secrets: dict[str, dict[str, str]] = {}
        """Secret id → variables."""
        self.images: dict[str, tuple[str, ...]] = {}
        """Image id → the lines it is built by."""

    def rpcs(self) -> dict[str, Rpc]:
        """Return the calls that are answered here."""
        return {
            "ClientHello": Rpc("account", self._hello),
            "AuthTokenGet": Rpc("account", self._token),
            "WorkspaceNameLookup": Rpc("account", self._name),
            "EnvironmentGetOrCreate": Rpc("account", self._environment),
            "AppGetOrCreate": Rpc("account", self._app),
            "MountGetOrCreate": Rpc("images", self._mount),
            "ImageGetOrCreate": Rpc("images", self._image),
            "ImageJoinStreaming": Rpc("images", self._built),
            "SecretGetOrCreate": Rpc("account", self._secret),
        }

    def app_id(self, name: str) -> str | None:
        """Return the id of the app with a name."""
        return self._ids.get(("app", name))

    async def _hello(self, _: Any) -> Any:  # noqa: ANN401 - protobuf's, as below
        return api_pb2.ClientHelloResponse(image_builder_version=_BUILDER_VERSION)

    async def _token(self, _: Any) -> Any:  # noqa: ANN401 - as above
        head, body = _base64({"alg": "none"}), _base64({"exp": _TOKEN_EXPIRES})
        return api_pb2.AuthTokenGetResponse(token=f"{head}.{body}.c2FuZGJveA")

    async def _name(self, _: Any) -> Any:  # noqa: ANN401 - as above
        return api_pb2.WorkspaceNameLookupResponse(workspace_name="sandbox", username="sandbox")

    async def _environment(self, request: Any) -> Any:  # noqa: ANN401 - as above
        name = request.deployment_name or "main"
        settings = api_pb2.EnvironmentSettings(image_builder_version=_BUILDER_VERSION)
        return api_pb2.EnvironmentGetOrCreateResponse(
            environment_id=self._object("en", "environment", name),
            metadata=api_pb2.EnvironmentMetadata(name=name, settings=settings),
        )

    async def _app(self, request: Any) -> Any:  # noqa: ANN401 - as above
        wanted = ("app", request.app_name)
        if wanted not in self._ids and not request.object_creation_type:
            raise GRPCError(Status.NOT_FOUND, f"App '{request.app_name}' not found.")
        return api_pb2.AppGetOrCreateResponse(app_id=self._object("ap", *wanted))

    async def _mount(self, request: Any) -> Any:  # noqa: ANN401 - as above
        return api_pb2.MountGetOrCreateResponse(mount_id=self._object("mo", "mount", request.deployment_name))

    async def _image(self, request: Any) -> Any:  # noqa: ANN401 - as above
        """Return an image, with the result of its build if it was built before."""
        lines = tuple(request.image.dockerfile_commands)
        image_id = self._object("im", "image", *lines, *(base.image_id for base in request.image.base_images))
        result = self._result(image_id) if image_id in self.images else None
        self.images.setdefault(image_id, lines)
        return api_pb2.ImageGetOrCreateResponse(image_id=image_id, result=result, metadata=api_pb2.ImageMetadata())

    async def _built(self, request: Any) -> Any:  # noqa: ANN401 - as above
        """Wait for a build, which takes no time."""
        result = self._result(request.image_id)
        return [api_pb2.ImageJoinStreamingResponse(result=result, eof=True, metadata=api_pb2.ImageMetadata())]

    def _result(self, image_id: str) -> Any:  # noqa: ANN401 - as above
        if any(_PRIVATE in line for line in self.images.get(image_id, ()) if line.startswith("FROM ")):
            failed = api_pb2.GenericResult.GENERIC_STATUS_FAILURE
            return api_pb2.GenericResult(status=failed, exception="pull access denied")
        return api_pb2.GenericResult(status=api_pb2.GenericResult.GENERIC_STATUS_SUCCESS)

    async def _secret(self, request: Any) -> Any:  # noqa: ANN401 - as above
        secret_id = self._new_id("st")
        self.secrets[secret_id] = dict(request.env_dict)
        return api_pb2.SecretGetOrCreateResponse(secret_id=secret_id)

    def _object(self, prefix: str, *key: str) -> str:
        if key not in self._ids:
            self._ids[key] = self._new_id(prefix)
        return self._ids[key]


def _base64(value: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
