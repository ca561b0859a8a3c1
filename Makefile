# Needs Python 3.11 or newer and make; everything else goes into .venv.
#   make demo                restore the head that comes with the package (or SCAN=path/to/thick.nii.gz)
#   make test                lint, types, import order, tests: no outside program, below ten minutes
#   make test-external       outside programs, slow checks, docs, and the wheel in an environment of its own
#   make docs                the site, in site/
#   make sbom                dist/voxprior.cdx.json: the bill of materials of an installation (CycloneDX)
#   make lock                choose the newest versions anew and write requirements/dev.txt
#   make clean               remove what these commands made
PYTHON ?= python3
VENV ?= .venv
SCAN ?=
DEMO_OUT ?= runs/demo
TIME_LIMIT ?= 590
EXTERNAL_TIME_LIMIT ?= 3000
PYTEST_ARGS ?=
WORKERS ?= 2

BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check
LOCK := requirements/dev.txt
WHEEL_VENV := $(VENV)-wheel

# Two threads are what the time limits are stated for; make test gives one to each of two processes.
export OMP_NUM_THREADS ?= 2
export MPLBACKEND ?= Agg

.PHONY: demo setup test lint test-external docs wheel sbom lock clean

demo: $(STAMP)
	$(BIN)/voxprior demo $(if $(SCAN),-i "$(SCAN)") -o "$(DEMO_OUT)" --force

setup: $(STAMP)

# The lock names torch 2.13.0; pip takes it from wherever its own settings point. Nothing here upgrades a package.
$(STAMP): $(LOCK) pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "$(PYTHON) is older than Python 3.11; give a newer one: make PYTHON=python3.12" >&2; exit 2; }
	@echo "Installing into $(VENV): some 2 GB, a few minutes, and only the first time."
	test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	$(PIP) install -qq --requirement $(LOCK)
	$(PIP) install -qq --no-deps --no-build-isolation --editable .
	$(PIP) check
	@touch $@

lint: $(STAMP)
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

test: lint
	OMP_NUM_THREADS=1 HYPOTHESIS_PROFILE=ci $(BIN)/python -m pytest -m "not external and not slow" -n $(WORKERS) \
		--dist loadfile --time-limit=$(TIME_LIMIT) --cov --cov-report=term $(PYTEST_ARGS)

# The tests come last, so that their closing lines are the last thing a reader sees.
test-external: $(STAMP) docs wheel
	HYPOTHESIS_PROFILE=ci $(BIN)/python -m pytest -m "external or slow" --no-skips \
		--time-limit=$(EXTERNAL_TIME_LIMIT) $(PYTEST_ARGS)

# Without --quiet: it would silence the warnings before --strict counts them.
docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# What a user gets: the wheel alone, in a fresh environment, run from a folder without the source.
wheel: $(STAMP)
	rm -rf dist $(WHEEL_VENV)
	$(PIP) wheel -qq --no-deps --no-build-isolation --wheel-dir dist .
	"$(PYTHON)" -m venv $(WHEEL_VENV)
	$(WHEEL_VENV)/bin/python -m pip --disable-pip-version-check install -qq --constraint $(LOCK) dist/*.whl
	cd dist && ../$(WHEEL_VENV)/bin/voxprior demo -o demo --force
	cd dist && ../$(WHEEL_VENV)/bin/voxprior info

sbom: $(STAMP)
	$(BIN)/python requirements/sbom.py dist/voxprior.cdx.json

# A fresh environment resolves the ranges of pyproject.toml around the pinned torch; its list becomes the lock.
lock:
	rm -rf .venv-lock
	"$(PYTHON)" -m venv .venv-lock
	.venv-lock/bin/python -m pip --disable-pip-version-check install -qq torch==2.13.0 ".[dev,docs]"
	.venv-lock/bin/python requirements/freeze.py > $(LOCK).new
	mv $(LOCK).new $(LOCK)
	rm -rf .venv-lock

clean:
	rm -rf $(VENV) $(WHEEL_VENV) .venv-lock dist site .mypy_cache .ruff_cache .import_linter_cache .pytest_cache .hypothesis .coverage
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
