# `make search` and `make test` set everything up on a fresh machine; the rest is for developers.

PYTHON ?= python3
DATASET ?= digits
TRIALS ?= 20

BIN := .venv/bin
CODE := records space train_core studies search reports serve tests benchmarks docs

# Tests start many processes; each would compile all modules again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: search test test-fast faults check format clean help

search: .venv/run.stamp  ## search on a data set: make search TRIALS=100 DATASET=cifar10
	$(BIN)/python -m search.run --trials $(TRIALS) --dataset $(DATASET)

test: .venv/dev.stamp  ## all tests; those that need something that is not here are skipped by name
	$(BIN)/python -m pytest

test-fast: .venv/dev.stamp  ## the tests that take less than a minute together
	$(BIN)/python -m pytest -m "not slow and not gpu"

faults: .venv/dev.stamp  ## kill searches at 100 random moments instead of 4: half an hour
	CONVSEARCH_KILLS=100 $(BIN)/python -m pytest -n0 tests/faults

check: .venv/dev.stamp  ## format, lint, types, import contracts
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy records space train_core studies search reports serve benchmarks docs
	$(BIN)/lint-imports

format: .venv/dev.stamp  ## format and mend what can be mended
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

clean:  ## remove the virtual environment and caches; data/ and runs/ stay
	rm -rf .venv build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## */\t/' | expand -t 10

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: Python 3.11 or newer is needed, but $(PYTHON) is older: make PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv .venv

.venv/run.stamp: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

.venv/dev.stamp: .venv/run.stamp
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test,check]'
	@touch $@
