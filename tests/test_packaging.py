import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
TARGETS = ("help", "install", "up", "test", "lint", "bench", "openapi", "soak", "clean")


def make(*arguments, directory=ROOT):
    return subprocess.run(["make", *arguments], cwd=directory, capture_output=True, text=True, check=False, timeout=60)


def test_bare_make_prints_what_there_is():
    done = make()
    assert done.returncode == 0
    for target in TARGETS:
        assert re.search(rf"^  make {target}\s", done.stdout, re.MULTILINE), target


def test_python_that_is_too_old_is_told(tmp_path):
    old = tmp_path / "python-of-old"
    old.write_text('#!/bin/sh\n[ "$1" = -V ] && echo "Python 3.8.1"\nexit 1\n')
    old.chmod(0o755)
    done = make("install", f"VENV={tmp_path / 'venv'}", f"PYTHON={old}")
    assert done.returncode != 0
    assert "needs Python 3.11 or newer" in done.stderr
    assert "3.8.1" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_nothing_is_installed_again_while_the_lock_stays(tmp_path):
    """With a stand-in for the environment's Python, so that an installation would fail."""
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").write_text("#!/bin/sh\nexit 1\n")
    (venv / "bin" / "python").chmod(0o755)
    assert make("install", f"VENV={venv}").returncode != 0
    (venv / "requirements.lock").write_bytes((ROOT / "requirements.lock").read_bytes())
    assert make("install", f"VENV={venv}").returncode == 0


def test_ci_runs_lint_and_tests():
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert "make lint" in script.read_text()
    assert "make test" in script.read_text()


def test_compose_file_has_what_a_deployment_needs():
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert services.keys() == {"postgres", "migrate", "api", "worker", "sandbox"}
    assert services["api"]["deploy"]["replicas"] == services["worker"]["deploy"]["replicas"] == 2
    for name, service in services.items():
        for other in service.get("depends_on", {}):
            assert other in services, name


def test_image_is_built_in_stages_runs_as_nobody_special_and_looks_at_its_health():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert sum(line.startswith("FROM ") for line in lines) == 2
    user = next(line.split()[1] for line in reversed(lines) if line.startswith("USER "))
    assert user not in {"root", "0"}
    assert any(line.startswith("HEALTHCHECK ") for line in lines)
    for line in lines:
        if line.startswith(("ENTRYPOINT ", "CMD ")):
            json.loads(line.partition(" ")[2])


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_lock_pins_everything_with_hashes_and_names_no_host(lock):
    text = (ROOT / lock).read_text()
    assert "://" not in text
    pins = re.findall(r"^([A-Za-z0-9._-]+(?:\[[^]]*\])?)(==)?", text, re.MULTILINE)
    assert len(pins) > 40
    assert all(pinned for _, pinned in pins)
    assert text.count("--hash=sha256:") >= len(pins)
