"""What a container does at its start so that we reach it by SSH, whatever its image."""

from __future__ import annotations

PREPARED_PREFIX = "runpod/"
"""Images that start an SSH server with ``PUBLIC_KEY`` by themselves."""

_SCRIPT = """\
umask 077
mkdir -p /root/.ssh /run/sshd
printf '%s\\n' "$PUBLIC_KEY" >> /root/.ssh/authorized_keys
if ! command -v sshd >/dev/null; then
  if command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update && apt-get install -y --no-install-recommends openssh-server
  elif command -v apk >/dev/null; then apk add --no-cache openssh
  elif command -v dnf >/dev/null; then dnf install -y openssh-server
  elif command -v yum >/dev/null; then yum install -y openssh-server
  fi
fi
mkdir -p /etc/profile.d
(umask 022; export -p > /etc/profile.d/hourglass.sh)
ssh-keygen -A
exec "$(command -v sshd)" -D -e -o PasswordAuthentication=no -o PermitRootLogin=prohibit-password
"""


def start_of(image: str) -> dict[str, object]:
    """Return the part of a pod's body that says what it runs: nothing for images which are prepared for us."""
    if image.startswith(PREPARED_PREFIX):
        return {}
    return {"entrypoint": ["/bin/sh"], "cmd": ["-c", _SCRIPT]}
