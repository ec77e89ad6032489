"""What a whole machine is told for its first boot, where a cloud rents machines and not containers."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Mapping

_ENV_PATH = "/etc/profile.d/hourglass.sh"


def user_data(env: Mapping[str, str]) -> dict[str, str]:
    """Return cloud-init's words for exporting the variables to login shells; nothing where there are none.

    JSON is YAML, and base 64 needs no quoting in either.
    """
    if not env:
        return {}
    script = "".join(f"export {variable}={shlex.quote(value)}\n" for variable, value in sorted(env.items()))
    content = base64.b64encode(script.encode()).decode()
    file = {"path": _ENV_PATH, "permissions": "0644", "encoding": "b64", "content": content}
    return {"user_data": "#cloud-config\n" + json.dumps({"write_files": [file]})}
