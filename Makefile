# What there is to do. Everything runs in .venv, which the first target that needs it makes; with
# PYTHON=... on the command line in a .venv of that interpreter's own.

PYTHON ?= python3
ifeq ($(origin PYTHON),command line)
VENV := .venv-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
else
VENV := .venv
endif
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
WEB := sfm/web/index.html
WEB_SOURCES := $(shell find webapp -name node_modules -prune -o -type f -print)
NODE_PACKAGES := webapp/node_modules/.package-lock.json

# Containers often forbid it; then each process that a test starts would compile the modules again.
unexport PYTHONDONTWRITEBYTECODE
# The same for this one, which no user sets: what is tested is buffered as it is for them.
unexport PYTHONUNBUFFERED

.DEFAULT_GOAL := help
.PHONY: help run test fast pythons coverage proofs check web types reference bench fuzz soak soak-kill dist lock format clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.run $(WEB) ## Start a simulated unit and the relay, read the one through the other, stay up
	@$(BIN)/seismo-relay demo

# Seconds for all simulations of a test run; with planted faults, interleavings, kills and
# corpora the proofs then take some three minutes.
PROOF_S ?= 90

# Two for each core: with one, a third of the machine waited for browsers, databases and links. A worker
# that has run its share takes tests from the end of another's: no long file is the tail.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(2 * (os.cpu_count() or 1))')
PYTEST := $(BIN)/pytest --numprocesses $(WORKERS) --dist worksteal
TEST := TEST_PROOF_S=$(PROOF_S) $(PYTEST) -m "not alone and not long_proof"

test: $(VENV)/.dev $(WEB) $(NODE_PACKAGES) ## Run every test, on every core; set up what they need
	$(TEST)
	$(BIN)/pytest -m alone $$(grep -rl --include='*.py' 'mark\.alone' tests)

# Kept apart from `test`: Python 3.11 measures with a tracer, which slows every line down.
# Everything but proofs, browsers, limits of time and programs of others.
FAST := tests/minimateplus tests/sfm/access tests/sfm/analysis tests/sfm/cache tests/sfm/cli tests/sfm/exports \
	tests/sfm/records tests/sfm/settings tests/sfm/test_errors.py tests/sfm/test_logs.py tests/sfm/test_windows.py

fast: $(VENV)/.dev ## Run the fast part of the tests
	$(PYTEST) -m "not alone and not long_proof and not peer" $(FAST)

pythons: $(VENV)/.run ## Run the fast part on each Python that is found here (3.11 and newer)
	@$(BIN)/python tests/pythons.py

coverage: $(VENV)/.dev $(WEB) $(NODE_PACKAGES) ## Run the same tests and print how much of the code they run
	$(TEST) --cov --cov-report term:skip-covered

proofs: $(VENV)/.dev ## Run simulations, planted faults, interleavings and kills with their full counts
	$(BIN)/pytest --numprocesses logical --dist load tests/proofs

check: $(VENV)/.dev ## Check format, lint, types, import layers, spelling, retired words, reference pages, and the web app
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/python docs/generate.py --check
	$(BIN)/pytest tests/docs/test_words.py
	@webapp/check.sh $(BIN)

web: $(WEB) ## Build the web app
	@test ! -e sfm/web/no-build.txt

types: $(VENV)/.run ## Make the web app's types anew from the API's own page
	@webapp/types.sh $(BIN) webapp/src/api

reference: $(VENV)/.run ## Write the reference pages of command line, settings and library anew
	$(BIN)/python docs/generate.py

bench: $(VENV)/.bench ## Run what is in benchmarks/ and print its tables
	@for file in benchmarks/bench_*.py; do echo "== $$file"; PYTHONPATH=tests $(BIN)/python $$file || exit 1; done

SECONDS ?= 600
FUZZ_TARGETS := frames samples captures payloads

fuzz: $(VENV)/.fuzz ## Fuzz what reads foreign bytes, SECONDS=600 for each target
	@for target in $(FUZZ_TARGETS); do \
		PYTHONPATH=tests $(BIN)/python tests/proofs/fuzz/fuzz.py $$target --seconds $(SECONDS) || exit 1; done

soak: $(VENV)/.dev ## Run a million simulations in virtual time; resume where it stopped
	@PYTHONPATH=tests $(BIN)/python tests/proofs/simulation/soak.py $(SOAK)

soak-kill: $(VENV)/.dev ## Kill the relay a thousand times while it downloads
	@PYTHONPATH=tests $(BIN)/python tests/proofs/kills/killing.py $(SOAK)

dist: $(VENV)/.dist ## Build wheel, source distribution and bill of materials into dist/
	@rm -rf dist
	@$(BIN)/python -m build --outdir dist
	@$(BIN)/python -W "ignore:The Component this BOM:UserWarning" -m cyclonedx_py requirements requirements.lock \
		--pyproject pyproject.toml --mc-type application --output-reproducible --of JSON --output-file dist/seismo-relay.cdx.json
	@$(BIN)/python bill_of_materials.py requirements.lock dist/seismo-relay.cdx.json
	@ls -l dist

lock: $(VENV)/.dist ## Lock the versions of constraints.txt with the hashes of all platforms' wheels
	@$(BIN)/uv pip compile pyproject.toml --all-extras --universal --generate-hashes --python-version 3.11 \
		--no-emit-package pyarrow --constraint constraints.txt --no-header --quiet --output-file requirements.lock
	@echo pyarrow | $(BIN)/uv pip compile - --universal --generate-hashes --python-version 3.11 --no-annotate \
		--constraint constraints.txt --no-header --quiet --output-file requirements-parquet.lock

format: $(VENV)/.dev ## Bring the code into its form
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

clean: ## Remove the virtual environment and what tools left behind
	rm -rf $(VENV) .venv-* sfm/web webapp/node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage .coverage.* build dist

# Without a build the relay runs all the same, and its page says why. What failed is tried again by
# `make web`, or after a change: an npm registry that cannot be reached must not delay each run.
$(WEB): $(WEB_SOURCES) | $(VENV)/.run
	@webapp/build.sh $(BIN) $(if $(filter web,$(MAKECMDGOALS)),,unless-it-failed) || true

# Tests need them also where the web app came built, as in a source distribution.
$(NODE_PACKAGES): webapp/package-lock.json | $(WEB)
	@webapp/packages.sh $(BIN) || true

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; found: $$($(PYTHON) --version 2>&1)"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
		{ echo "Python's venv module is missing; on Debian: apt-get install python3-venv"; exit 1; }
	@echo "Making $(VENV)"
	@$(PYTHON) -m venv $(VENV)

# Two steps: pip does not install an editable package while it checks hashes.
$(VENV)/.run: pyproject.toml requirements.lock | $(BIN)/python
	@echo "Installing seismo-relay into $(VENV)"
	@$(PIP) install --require-hashes --requirement requirements.lock
	@$(PIP) install --no-deps --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt $(VENV)/.run
	@echo "Installing what checks and tests need"
	@$(PIP) install --constraint constraints.txt --requirement requirements-dev.txt
	@touch $@

$(VENV)/.dist: requirements-dist.txt constraints.txt $(VENV)/.run
	@echo "Installing what builds packages"
	@$(PIP) install --constraint constraints.txt --requirement requirements-dist.txt
	@touch $@

$(VENV)/.fuzz: requirements-fuzz.txt constraints.txt $(VENV)/.dev
	@echo "Installing the fuzzer"
	@$(PIP) install --constraint constraints.txt --requirement requirements-fuzz.txt
	@touch $@

$(VENV)/.bench: requirements-bench.txt constraints.txt $(VENV)/.dev
	@echo "Installing the libraries that benchmarks compare with"
	@$(PIP) install --constraint constraints.txt --requirement requirements-bench.txt
	@touch $@
