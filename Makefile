# On a machine with python3 (3.11 to 3.13), pip and make; everything else goes to .venv, from pinned versions.
#   make quickstart ARGS="--seeds 0:3"
#   make test PYTHON=python3.12

PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# Two workers on two cores: one thread each, or they would fight for the cores.
WORKERS ?= 2
TEST_FLAGS := --xla_cpu_multi_thread_eigen=false --xla_llvm_disable_expensive_passes=true --xla_backend_optimization_level=0

.PHONY: help quickstart test check lint format metadrive clean
.DEFAULT_GOAL := help

help: ## Show the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 20

quickstart: $(VENV)/.runtime ## Collect, train, evaluate, report: the main job (options in ARGS)
	@$(BIN)/surefoot quickstart $(ARGS)

test: check ## The same as check

check: lint ## Everything that CI checks: style, types, floors, tests
	@XLA_FLAGS="$(TEST_FLAGS)" MPLBACKEND=agg $(BIN)/python -m pytest -q -n $(WORKERS) $(ARGS)

lint: $(VENV)/.dev ## Style, types and floors only
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright --pythonpath $(BIN)/python
	@$(BIN)/lint-imports

format: $(VENV)/.dev ## Put the code into shape
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

metadrive: $(VENV)/.dev ## Install MetaDrive into an environment of its own, and check its nine tasks
	@$(BIN)/surefoot simulators install metadrive
	@$(BIN)/python benchmarks/metadrive.py

clean: ## Remove the environment and all caches; runs/ stays
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache src/*.egg-info
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the environment; a stamp is as new as the pins that it was made from ---

$(VENV)/.runtime: requirements/lock.txt pyproject.toml
	@$(create)
	@echo "Installing surefoot into $(VENV) (once, a minute or two)"
	@$(PIP) install -r requirements/lock.txt
	@$(install_surefoot)
	@touch $@

$(VENV)/.dev: requirements/dev.txt requirements/lock.txt requirements/sim.txt $(wildcard src/surefoot/envs/simulators/pins/*.txt) pyproject.toml
	@$(create)
	@echo "Installing surefoot, its tools and two simulators into $(VENV) (once, two minutes or three)"
	@$(PIP) install -r requirements/dev.txt
	@$(PIP) install --no-deps -r requirements/sim.txt
	@$(install_surefoot)
	@touch $(VENV)/.runtime $@

install_surefoot = $(PIP) install --no-deps --no-build-isolation --editable .

# A half-made environment, or one whose python has gone, is made anew.
define create
command -v $(PYTHON) >/dev/null 2>&1 || { echo "surefoot needs Python 3.11, 3.12 or 3.13: found no $(PYTHON)."; exit 1; }; \
$(PYTHON) -c 'import sys; ok = (3, 11) <= sys.version_info[:2] <= (3, 13); ok or sys.exit("surefoot needs Python 3.11, 3.12 or 3.13: $(PYTHON) is %d.%d; name another with make PYTHON=..." % sys.version_info[:2])' || exit 1; \
$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments: install its venv and ensurepip (Debian and Ubuntu: apt install python3-venv)."; exit 1; }; \
$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
endef
