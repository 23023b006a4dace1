# On a machine with python3 (3.11 to 3.14), pip and make; everything else goes to .venv, from pinned versions.
#   make quickstart ARGS="--seeds 0:3"
#   make test PYTHON=python3.12

PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Pinned files by their hashes; nothing is built but PyBullet, where it has no wheel, with the pinned setuptools.
# Tests of what the documentation prints: its site, its programs, its commands.
PAGES := tests/unit/test_site.py tests/unit/test_printed_commands.py tests/unit/test_own_task.py tests/e2e/test_own_log.py \
  tests/e2e/test_commands.py::test_the_tutorial_s_program_asks_a_run tests/e2e/test_images.py::test_the_tutorial_s_program_acts_on_an_image \
  tests/e2e/test_budget_run.py::test_the_tutorial_s_loop_keeps_count
PINNED := --require-hashes --only-binary :all:
SIMULATORS := --require-hashes --no-deps --no-build-isolation
LATEST := .venv-latest
RELEASE := .venv-release
UV := .venv-pins/bin/uv

# Two workers on two cores: one thread each, or they would fight for the cores.
WORKERS ?= 2
TEST_FLAGS := --xla_cpu_multi_thread_eigen=false --xla_llvm_disable_expensive_passes=true --xla_backend_optimization_level=0
# XLA's older emitters compile in less than half the time and round otherwise, donated arrays once more: BITS, which ask for
# every bit, run without them.
QUICK_FLAGS := $(TEST_FLAGS) --xla_cpu_use_fusion_emitters=false
BITS := tests/compatibility tests/conformance/test_algorithms.py::test_a_donated_state_is_gone_and_the_result_is_the_same \
  tests/unit/test_point_robot_pixels.py::test_the_same_seed_collects_the_same \
  tests/unit/test_safe_pendulum.py::test_the_pure_tasks_keep_their_protocol

.PHONY: help quickstart test check lint format tables docs docs-check metadrive pins release-check test-latest clean
.DEFAULT_GOAL := help

help: ## Show the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 20

quickstart: $(VENV)/.runtime ## Collect, train, evaluate, report: the main job (options in ARGS)
	@$(BIN)/surefoot quickstart $(ARGS)

test: check ## The same as check

# Code that stands twice (nine statements and more) and files above 350 lines: tests/unit/test_house_rules.py.
check: lint ## Everything that CI checks: style, types, floors, repetitions, tests
	@$(if $(ARGS),,XLA_FLAGS="$(QUICK_FLAGS)" $(pytest) $(addprefix --deselect ,$(BITS)))
	@XLA_FLAGS="$(TEST_FLAGS)" $(pytest) $(or $(ARGS),$(BITS))

lint: $(VENV)/.dev ## Style, types and floors only
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright --pythonpath $(BIN)/python
	@$(BIN)/lint-imports

format: $(VENV)/.dev ## Put the code into shape
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

tables: $(VENV)/.dev ## Write the tables of README.md and docs/ from the committed results
	@$(BIN)/python benchmarks/tables.py

docs: $(VENV)/.dev ## Build the documentation's site into site/, with warnings as errors
	@$(BIN)/mkdocs build --strict --quiet
	@echo "site/index.html"

docs-check: docs ## The site, and every command and program that its pages print
	@XLA_FLAGS="$(TEST_FLAGS)" MPLBACKEND=agg $(BIN)/python -m pytest -q $(PAGES) $(ARGS)

release-check: $(RELEASE)/.made ## Build wheel and sdist, check them, and run the wheel in an empty environment
	@BUILD=$(RELEASE)/bin/python PYTHON=$(PYTHON) .ci/release-check $(ARGS)

metadrive: $(VENV)/.dev ## Install MetaDrive into an environment of its own, and check its nine tasks
	@$(BIN)/surefoot simulators install metadrive
	@$(BIN)/python benchmarks/metadrive.py

pins: $(UV) ## Write the pins with their hashes from pyproject.toml and requirements/*.in (ARGS=--upgrade takes newer ones)
	@$(compile) --python-version 3.11 requirements/uv.in -o requirements/uv.txt
	@$(compile) --python-version 3.11 pyproject.toml requirements/build.in -o requirements/lock.txt
	@$(compile) --python-version 3.11 pyproject.toml requirements/build.in --extra dev -c requirements/lock.txt -o requirements/dev.txt
	@$(compile) --python-version 3.11 requirements/release.in -c requirements/dev.txt -o requirements/release.txt
	@$(compile) --python-version 3.11 --no-deps requirements/simulators/bullet.in -c requirements/dev.txt -o $(PINS)/bullet.txt
	@$(compile) --python-version 3.11 --no-deps requirements/simulators/safety-gymnasium.in -c requirements/dev.txt \
	  -c $(PINS)/bullet.txt -o $(PINS)/safety-gymnasium.txt
	@$(compile) --python-version 3.8 --no-deps requirements/simulators/build.in -o $(PINS)/build.txt
	@$(compile) --python-version 3.8 --no-deps requirements/simulators/metadrive.in -o $(PINS)/metadrive.txt

test-latest: ## Run the tests with the newest versions that pyproject.toml allows, in an environment of its own
	@$(check_python)
	@rm -rf $(LATEST) && $(PYTHON) -m venv $(LATEST)
	@$(LATEST)/bin/python -m pip install --quiet --upgrade pip setuptools wheel
	@$(LATEST)/bin/python -m pip install --quiet $(SIMULATORS) -r requirements/sim.txt
	@$(LATEST)/bin/python -m pip install --quiet --upgrade --upgrade-strategy eager --editable ".[dev]"
	@$(LATEST)/bin/python -m pip freeze --exclude-editable | tee $(LATEST)/versions.txt
	@XLA_FLAGS="$(TEST_FLAGS)" MPLBACKEND=agg $(LATEST)/bin/python -m pytest -q -n $(WORKERS) --dist loadfile $(ARGS)

clean: ## Remove the environment and all caches; runs/ stays
	rm -rf $(VENV) $(LATEST) $(RELEASE) .venv-pins build dist site .pytest_cache .ruff_cache .hypothesis .import_linter_cache src/*.egg-info
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the environment; a stamp is as new as the pins that it was made from ---

$(VENV)/.runtime: requirements/lock.txt pyproject.toml
	@$(create)
	@echo "Installing surefoot into $(VENV) (once, a minute or two)"
	@$(PIP) install $(PINNED) -r requirements/lock.txt
	@$(install_surefoot)
	@touch $@

$(VENV)/.dev: requirements/dev.txt requirements/lock.txt requirements/sim.txt $(wildcard src/surefoot/envs/simulators/pins/*.txt) pyproject.toml
	@$(create)
	@echo "Installing surefoot, its tools and two simulators into $(VENV) (once, two minutes or three)"
	@$(PIP) install $(PINNED) -r requirements/dev.txt
	@$(PIP) install $(SIMULATORS) -r requirements/sim.txt
	@$(install_surefoot)
	@touch $(VENV)/.runtime $@

$(RELEASE)/.made: requirements/release.txt
	@$(check_python)
	@$(PYTHON) -m venv --clear $(RELEASE)
	@$(RELEASE)/bin/python -m pip --disable-pip-version-check install --quiet $(PINNED) -r requirements/release.txt
	@touch $@

# In the order of the folders: with the files of most tests first, a long one would be left to the end, for one worker alone.
pytest = MPLBACKEND=agg $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder

install_surefoot = $(PIP) install --no-deps --no-build-isolation --editable .

PINS := src/surefoot/envs/simulators/pins

# A pin that is there stays, as long as pyproject.toml and the .in files allow it.
compile = $(UV) pip compile --quiet --universal --generate-hashes --no-annotate --no-python-downloads \
  --custom-compile-command "make pins" $(ARGS)

$(UV): requirements/uv.txt
	@$(check_python)
	@$(PYTHON) -m venv --clear .venv-pins
	@.venv-pins/bin/python -m pip install --quiet $(PINNED) -r requirements/uv.txt

define check_python
command -v $(PYTHON) >/dev/null 2>&1 || { echo "surefoot needs Python 3.11 to 3.14: found no $(PYTHON)."; exit 1; }; \
$(PYTHON) -c 'import sys; ok = (3, 11) <= sys.version_info[:2] <= (3, 14); ok or sys.exit("surefoot needs Python 3.11 to 3.14: $(PYTHON) is %d.%d; name another with make PYTHON=..." % sys.version_info[:2])' || exit 1; \
$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments: install its venv and ensurepip (Debian and Ubuntu: apt install python3-venv)."; exit 1; }
endef

# A half-made environment, or one whose python has gone, is made anew.
define create
$(check_python); \
$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
endef
