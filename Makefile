# Tokenkeep. `make help` lists what there is to make.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The first that runs and is new enough; a name on the path alone may be a version manager's shim without a version.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3,$(shell $(name) -c '$(NEW_ENOUGH)' 2>/dev/null && command -v $(name))))
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links
T ?=
PYTEST_ARGS ?=

UPGRADE ?=
SEEDS ?= 1000

export PLAYWRIGHT_BROWSERS_PATH ?= $(CURDIR)/.venv/browsers
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: help serve test check format bench kill-campaign power-cut-campaign replica-campaign reliability-report crash-points simulate planted lock wheel services secrets clean chromium compose compiler

help: ## say what there is to make
	@echo 'make TARGET, where TARGET is one of'
	@sed -nE 's/^([a-z-]+):.*## (.*)$$/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24
	@echo
	@echo 'Variables: T=tests/core selects tests, PYTEST_ARGS="-n 2" goes to pytest, PYTHON=python3.12 makes the venv,'
	@echo 'TOKENKEEP_… goes to `make serve` (docs/reference/settings.md).'

serve: .venv/.runtime ## run the service; TOKENKEEP_PORT=9000 and the like are passed through
	@exec $(BIN)/tokenkeep serve

test: .venv/.dev chromium compose compiler ## run the tests; T=tests/core/test_policy.py runs one file
	@$(BIN)/python -m pytest $(T) $(PYTEST_ARGS)

check: .venv/.dev ## format, lint, types, architecture, provider files, house rules and documented settings
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@PYTHONPATH=src $(BIN)/lint-imports
	@$(BIN)/tokenkeep providers check providers
	@$(BIN)/python -m pytest -q tests/test_house.py tests/test_settings.py

format: .venv/.dev ## put code into shape
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

bench: .venv/.dev ## measure what the documents claim
	@for each in bench/*.py; do echo "== $$each"; PYTHONPATH=src:. $(BIN)/python "$$each"; done

# Long campaigns with real processes (docs/how-to/prove-it.md). The same in short is among the tests.
CAMPAIGN = PYTHONPATH=src:. $(BIN)/python -m tests.campaigns
CYCLES ?= 300
COLD ?= 0
CUTS ?= 100
MINUTES ?= 5

kill-campaign: .venv/.dev ## kill -9 at random moments; CYCLES=10000, COLD=20 with cold starts, SPILL=always; SEED=7 repeats
	@$(CAMPAIGN) kills --cycles $(CYCLES) --cold $(COLD) $(if $(SPILL),--spill $(SPILL)) $(if $(SEED),--seed $(SEED))

power-cut-campaign: .venv/.dev compiler ## the same, and unsynced writes are lost; CYCLES=2000; needs a C compiler
	@$(CAMPAIGN) power-cuts --cycles $(CYCLES) $(if $(SEED),--seed $(SEED))

replica-campaign: .venv/.dev ## three replicas killed, stopped, cut off, with wrong clocks; MINUTES=30
	@$(CAMPAIGN) replicas --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

services: .venv/.dev ## write docs/services anew from the provider files
	@PYTHONPATH=src $(BIN)/python -m tokenkeep providers docs docs/services

reliability-report: .venv/.dev compiler ## all of these, and docs/reliability-report.md; CYCLES=, COLD=, CUTS=, MINUTES=
	@$(CAMPAIGN) report --cycles $(CYCLES) --cold $(COLD) --cuts $(CUTS) --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

crash-points: .venv/.dev ## every fault at every await and commit of a refresh; MANNER=strict, PAIRS=1, SQLITE=1
	@PYTHONPATH=src:. $(BIN)/python -m tests.reliability.crash_points $(if $(PAIRS),--pairs) $(if $(SQLITE),--sqlite) $(if $(MANNER),--manner $(MANNER))

simulate: .venv/.dev ## three replicas in bad weather, from seeds; SEEDS=100000 plays so many, SEED=4711 shows one
	@PYTHONPATH=src:. $(BIN)/python -m tests.reliability.simulation $(or $(SEED),--seeds $(SEEDS))

planted: .venv/.dev ## plant every known bug, each in a process of its own, and see that it is found
	@PYTHONPATH=src:. $(BIN)/python -m tests.reliability.planted

lock: .venv/.dev ## write the lock files anew; UPGRADE=--upgrade takes newer releases
	@$(LOCK) $(UPGRADE) pyproject.toml --extra postgres --output-file requirements.lock
	@$(LOCK) $(UPGRADE) pyproject.toml --extra postgres --extra databases --extra aws --group dev --constraints requirements.lock --output-file requirements-dev.lock
	@$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
		| $(LOCK) $(UPGRADE) - --constraints requirements-dev.lock --output-file requirements-build.lock

wheel: .venv/.dev ## build dist/tokenkeep-….whl
	@$(BIN)/python -m build --wheel --no-isolation --outdir dist

secrets: .venv/.runtime ## make the secret files of docker-compose.yml in deploy/secrets
	@$(BIN)/python deploy/make_secrets.py

clean: ## remove what was made, the virtual environment too
	@rm -rf .venv dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find src tests bench -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

# --- the virtual environment ------------------------------------------------------------------------------------

.venv/.made:
	@if [ -z "$(PYTHON)" ] || ! "$(PYTHON)" -c '$(NEW_ENOUGH)'; then \
		echo 'Python 3.11 or newer is needed: install it, or name it with make PYTHON=/path/to/python3.' >&2; exit 1; fi
	@if ! "$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv; \
		else \
			echo 'Python cannot make virtual environments here: install python3-venv (as root: apt-get install python3-venv).' >&2; \
			exit 1; \
		fi; fi
	@"$(PYTHON)" -m venv .venv
	@touch $@

# The package is linked, not installed: the link needs no build tool and no network, and a change counts at once.
.venv/.runtime: .venv/.made requirements.lock
	@$(PIP) install -qq --require-hashes --requirement requirements.lock
	@$(BIN)/python -c 'import pathlib, sysconfig; pathlib.Path(sysconfig.get_path("purelib"), "tokenkeep.pth").write_text(str(pathlib.Path("src").resolve()) + "\n")'
	@printf '#!%s\nimport sys\n\nfrom tokenkeep.__main__ import main\n\nsys.exit(main())\n' "$(CURDIR)/$(BIN)/python" > $(BIN)/tokenkeep
	@chmod +x $(BIN)/tokenkeep
	@touch $@

.venv/.dev: .venv/.runtime requirements-dev.lock
	@$(PIP) install -qq --require-hashes --requirement requirements-dev.lock
	@touch $@

# The browser tests drive a real Chromium. Without one they are told as not run, loudly.
chromium: .venv/.dev
	@if command -v chromium chromium-browser google-chrome >/dev/null || ls -d "$$PLAYWRIGHT_BROWSERS_PATH"/chromium* >/dev/null 2>&1; then exit 0; fi; \
	echo 'There is no Chromium yet: installing one for the browser tests.'; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
		&& apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; then exit 0; fi; \
	if $(BIN)/playwright install chromium; then exit 0; fi; \
	echo '*** NO CHROMIUM: it could not be installed, so the browser tests will not run. ***' >&2

# The power cuts preload a small C library. Without a compiler they are told as not run, loudly.
compiler:
	@if command -v cc >/dev/null; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq \
		&& DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends gcc libc6-dev >/dev/null; then exit 0; fi; \
	echo '*** NO C COMPILER: it could not be installed, so no power cut is tried. ***' >&2

# One test lets docker compose read docker-compose.yml. The plugin is not in every Debian; its forerunner reads the same file.
compose:
	@if docker compose version >/dev/null 2>&1 || command -v docker-compose >/dev/null; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq \
		&& DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker-compose >/dev/null; then exit 0; fi; \
	echo '*** NO DOCKER COMPOSE: it could not be installed, so docker-compose.yml is not read by it. ***' >&2
