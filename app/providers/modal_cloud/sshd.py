"""How a container that knows nothing of us lets us in: an SSH server that takes the platform's key alone."""

from __future__ import annotations

KEY_VARIABLE = "HOURGLASS_PLATFORM_KEY"
_INSTALL = (
    "command -v sshd >/dev/null 2>&1 || test -x /usr/sbin/sshd"
    " || (apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends openssh-server)"
    " || apk add --no-cache openssh || dnf install -y openssh-server || microdnf install -y openssh-server"
)
BUILD_LINES = (
    f"RUN {_INSTALL}",
    "RUN mkdir -p /run/sshd /root/.ssh && chmod 700 /root/.ssh",
    "ENTRYPOINT []",
)
"""Added to the image that was ordered, so that no machine waits for a download."""

_SCRIPT = f"""
set -eu
umask 077
mkdir -p /run/sshd /root/.ssh
printf '%s\\n' "${KEY_VARIABLE}" > /root/.ssh/authorized_keys
unset {KEY_VARIABLE}
export -p > /etc/hourglass.env
for file in /root/.profile /root/.bashrc; do
  touch "$file"
  {{ echo '. /etc/hourglass.env'; cat "$file"; }} > "$file.new"
  mv "$file.new" "$file"
done
ssh-keygen -A > /dev/null
exec "$(command -v sshd || echo /usr/sbin/sshd)" -D -e \\
  -o PermitRootLogin=prohibit-password -o PasswordAuthentication=no -o PidFile=none
""".strip()
COMMAND = ("/bin/sh", "-c", _SCRIPT)
"""sshd hands none of its own variables on, so they are written down, quoted by the shell, for every shell to read."""
