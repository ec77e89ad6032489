# Bare `make` prints help. Nothing is installed again while the lock files stay as they are, so all of it works offline
# after the first time.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help install install-dev install-localstripe install-dstack up test lint bench openapi soak clean
.SILENT:

VENV ?= .venv
PY := $(VENV)/bin/python
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	command -v $$name >/dev/null 2>&1 && $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
	&& { echo $$name; break; }; done)
PIP := $(PY) -m pip --disable-pip-version-check --no-input
export PIP_ROOT_USER_ACTION := ignore

help: ## show this
	printf 'Hourglass: GPUs rented by the second, prepaid.\n\n'
	grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'
	printf '\n  HOURGLASS_HOME (.hourglass), HOURGLASS_PORT (8000 and the four after it) and DATABASE_URL move things.\n'

install: $(PY) ## install what the service needs into .venv
	$(call installed,requirements.lock)

install-dev: $(PY) ## install what the tests need as well
	$(call installed,requirements-dev.lock)

# Others' software to test against: another Stripe, and another client of RunPod. Each has an environment of its own, since
# it is under a licence or wants versions that ours must not meet, and nothing of ours imports it.
APART := localstripe dstack
$(APART:%=install-%): install-%: $(PY)
	if ! cmp -s requirements-$*.lock $(VENV)/$*/requirements.lock; then \
		echo "Installing requirements-$*.lock into $(VENV)/$* …"; \
		$(PY) -m venv $(VENV)/$* && $(VENV)/$*/bin/python -m pip --disable-pip-version-check --no-input install --quiet \
			--no-deps --require-hashes -r requirements-$*.lock \
			&& cp requirements-$*.lock $(VENV)/$*/requirements.lock \
			|| echo "$* could not be installed; the tests that talk to it will say that they were skipped." >&2; fi

up: install ## run everything here: PostgreSQL, sandbox, API, worker, a demo account
	exec $(PY) -m app up

# The tests start hundreds of processes: where nothing compiled is kept, each would compile all of it again.
test soak: export PYTHONDONTWRITEBYTECODE :=

test: install-dev $(APART:%=install-%) ## run the tests
	$(PY) -m pytest -m 'not soak' -n 3 --dist worksteal

lint: install-dev ## check style, types, floors and the API's description
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports
	$(PY) -m app openapi --check

bench: install-dev ## measure (QUICK=1: in three minutes, without the million rentals)
	$(PY) -m benchmarks $(if $(QUICK),--quick)

openapi: install ## write openapi/openapi.json
	$(PY) -m app openapi

soak: install-dev ## run the long tests
	$(PY) -m pytest -m soak --timeout=0

clean: ## remove what can be made again; .hourglass and its data stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -not -path './.hourglass/*' -prune -exec rm -rf {} +

$(PY):
	if [ -z "$(PYTHON)" ]; then \
		echo "Hourglass needs Python 3.11 or newer, and none was found. Install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; fi
	if ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
		echo "Hourglass needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1)." >&2; exit 1; fi
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "$(PYTHON) can't make a virtual environment. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }

# Installs a lock file unless the very same one was installed last. The stamp is a copy of it, so that a checkout that
# only touches the file costs nothing.
define installed
	if ! cmp -s $(1) $(VENV)/$(1); then \
		echo "Installing $(1) into $(VENV) …"; \
		$(PIP) install --quiet --no-deps --require-hashes -r $(1) || { \
			echo "The installation failed; see above. With a network it can simply be started again: make install" >&2; exit 1; }; \
		$(PY) -c 'import pathlib, sysconfig; pathlib.Path(sysconfig.get_path("purelib"), "hourglass.pth").write_text(str(pathlib.Path.cwd()) + "\n")'; \
		printf '#!/bin/sh\nexec "$$(dirname "$$0")/python" -m app "$$@"\n' > $(VENV)/bin/hourglass && chmod +x $(VENV)/bin/hourglass; \
		cp $(1) $(VENV)/$(1); fi
endef
