# What a person does with this repository. `make` alone lists it.
# A distribution builds its interpreter for speed; one that a version manager compiled may be a third slower at everything.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell /usr/bin/python3 -c 'import ensurepip, venv; $(NEW_ENOUGH)' 2> /dev/null && echo /usr/bin/)python3
VENV := .venv
BIN := $(VENV)/bin
# Whatever the surroundings say: hundreds of processes would each compile everything anew.
unexport PYTHONDONTWRITEBYTECODE
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Test files are shared out among so many processes, each with servers of its own: on 2 cores, since a third is waiting.
PROCESSES ?= 3
SIDE_BY_SIDE := --numprocesses=$(PROCESSES) --dist=loadfile --no-loadscope-reorder
COMPILE := $(BIN)/python -m piptools compile --quiet --generate-hashes --strip-extras --allow-unsafe --all-build-deps \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options --no-header

.DEFAULT_GOAL := help
.PHONY: help demo test check soak mutants bench lock openapi problems threats referrals migration catalogue screenshots clean

help:  ## List what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

demo: $(VENV)/.run  ## Play the whole journey, then keep the hub open (ARGS=--exit stops after the journey)
	@$(BIN)/fireweed demo $(ARGS)

test: $(VENV)/.dev  ## Every check and test, with real Kafka, PostgreSQL and Chromium
	@$(BIN)/python deploy/testing/prepare.py
	@$(MAKE) --no-print-directory rules
	$(BIN)/python -m pytest --all-servers $(SIDE_BY_SIDE) $(ARGS)

check: $(VENV)/.dev rules  ## Rules, types and the tests that need no server and no store: the inner loop
	$(BIN)/python -m pytest -m "not server and not store and not slow" -q $(SIDE_BY_SIDE) $(ARGS)

.PHONY: rules lint types
rules: $(VENV)/.dev
	@$(MAKE) --no-print-directory --jobs=2 types lint

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types:
	$(BIN)/mypy

soak: $(VENV)/.dev  ## The long randomized runs (ARGS=tests/FILE for some of them)
	@$(BIN)/python deploy/testing/prepare.py
	$(BIN)/python -m pytest $(if $(ARGS),,--all-servers) -m soak $(ARGS)

mutants: $(VENV)/.dev  ## Change the deciding and opening code one thing at a time; a change that no test notices is listed
	$(BIN)/python -m tests.support.mutants $(ARGS)

bench: $(VENV)/.dev  ## Measured ratios against bare baselines, as a table
	@$(BIN)/python deploy/testing/prepare.py
	@$(BIN)/python -m bench $(ARGS)

lock: $(VENV)/.dev  ## Write the lock files anew from pyproject.toml
	$(COMPILE) --extra telemetry -o requirements.lock pyproject.toml
	$(COMPILE) --extra telemetry --extra dev -c requirements.lock -o requirements-dev.lock pyproject.toml

openapi: $(VENV)/.dev  ## Write schemas/openapi anew from the routes
	$(BIN)/python -m tools.openapi

problems: $(VENV)/.dev  ## Write docs/problems.md anew from the code
	$(BIN)/python -m tools.problems

threats: $(VENV)/.dev  ## Write docs/threats.md anew from docs/threats.yaml
	$(BIN)/python -m tools.threats

referrals: $(VENV)/.dev  ## Write docs/referrals.md anew from the table of moves
	$(BIN)/python -m tools.referral_life

migration: $(VENV)/.dev  ## Write a migration step: make migration SERVICE=consent MESSAGE="what changes"
	$(BIN)/python -m tools.new_migration $(SERVICE) "$(MESSAGE)"

CATALOGUES := services/consent/pages services/front services/reporting/pages
catalogue: $(VENV)/.dev  ## Add what pages have gained to the catalogues of other languages
	@for folder in $(CATALOGUES); do ( cd $$folder && sed '/^$$/q' translations/fr.po > translations/head.po && \
		$(CURDIR)/$(BIN)/pybabel -q extract -F translations/babel.cfg --no-location --sort-output -o translations/messages.pot . && \
		$(CURDIR)/$(BIN)/pybabel -q update -i translations/messages.pot -l fr -o translations/fr.po --no-fuzzy-matching --omit-header -w 120 && \
		cat translations/head.po translations/fr.po > translations/whole.po && mv translations/whole.po translations/fr.po && \
		rm translations/messages.pot translations/head.po ) || exit 1; done

screenshots: $(VENV)/.dev  ## Take docs/screenshots anew
	@$(BIN)/python deploy/testing/prepare.py
	$(BIN)/python -m tests.browser.screenshots

clean:  ## Remove what was installed and built here; a hub's data stays
	rm -rf $(VENV) .hypothesis .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

# The newest interpreter decides nothing: versions and hashes come from the lock files alone.
$(VENV)/bin/python:
	@$(PYTHON) -c '$(NEW_ENOUGH)' || \
		{ echo "Python 3.11 or newer is needed. Install it, or say which to use: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "Python's venv module is needed (on Debian: apt-get install python3-venv)."; exit 1; }

$(VENV)/.run: requirements.lock pyproject.toml | $(VENV)/bin/python
	@echo "Installing what the hub needs into $(VENV) (once)."
	@$(PIP) install --quiet --no-compile --require-hashes -r requirements.lock
	@$(PIP) install --quiet --no-deps --no-build-isolation --no-index -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.run
	@echo "Installing what the tests need into $(VENV) (once)."
	@$(PIP) install --quiet --no-compile --require-hashes -r requirements-dev.lock
	@touch $@
