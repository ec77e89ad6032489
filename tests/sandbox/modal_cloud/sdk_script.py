"""What a user of Modal's SDK would write, against whatever ``MODAL_SERVER_URL`` names. Prints what it saw as JSON."""

import json
import sys
import time
from datetime import timedelta

import modal

from app.kit.clock import SystemClock

seen = {}
app = modal.App.lookup("a-users-app", create_if_missing=True)
image = modal.Image.from_registry("ubuntu:24.04", add_python="3.12").apt_install("openssh-server")
sandbox = modal.Sandbox.create(
    "sleep",
    "infinity",
    app=app,
    image=image,
    name="one",
    tags={"marker": "own-1", "rental": "r1"},
    env={"PUBLIC_KEY": sys.argv[1]},
    gpu="H100!:2",
    cpu=(2, 2),
    memory=(4096, 4096),
    timeout=3600,
    unencrypted_ports=[22, 8000],
)
seen["id"] = sandbox.object_id
seen["polled"] = sandbox.poll()
seen["tunnels"] = {port: tunnel.tcp_socket for port, tunnel in sandbox.tunnels().items()}
seen["tags"] = sandbox.get_tags()
seen["listed"] = [one.object_id for one in modal.Sandbox.list(app_id=app.app_id, tags={"rental": "r1"})]
seen["listed_otherwise"] = [one.object_id for one in modal.Sandbox.list(app_id=app.app_id, tags={"rental": "r2"})]
seen["by_id"] = modal.Sandbox.from_id(sandbox.object_id).poll()
seen["by_name"] = modal.Sandbox.from_name("a-users-app", "one").object_id

refused = {
    "name": lambda: modal.Sandbox.create("x", app=app, image=image, name="one", gpu="L4"),
    "gpu": lambda: modal.Sandbox.create("x", app=app, image=image, gpu="RTX-4090"),
    "time": lambda: modal.Sandbox.create("x", app=app, image=image, gpu="L4", timeout=100_000),
    "image": lambda: modal.Sandbox.create(
        "x", app=app, image=modal.Image.from_registry("registry.test/private/image"), gpu="L4"
    ),
    "id": lambda: modal.Sandbox.from_id("sb-" + 22 * "x"),
    "app": lambda: modal.App.lookup("nobodys-app"),
}
seen["refused"] = {}
for what, deed in refused.items():
    try:
        deed()
        seen["refused"][what] = "nothing"
    except modal.exception.Error as error:
        seen["refused"][what] = type(error).__name__

time.sleep(1.1)  # less than a second costs nothing
sandbox.terminate(wait=True)
seen["ended"] = (sandbox.poll(), modal.Sandbox.from_id(sandbox.object_id).poll())
billing = modal.Workspace.from_context().billing
seen["rates"] = {name: str(rate) for name, rate in billing.rates().items()}
today = SystemClock().now()
stats = sandbox._experimental_stats()
seen["stats"] = (str(stats.cost), stats.duration.total_seconds())
items = billing.report(start=today - timedelta(days=1), end=today + timedelta(days=2), resolution="d")
seen["report"] = [(item.object_id, str(item.cost)) for item in items]
seen["app_id"] = app.app_id
sys.stdout.write(json.dumps(seen))
