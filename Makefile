# `make run` starts the dashboard; `make test` checks everything. Both build the
# environment first and skip that when it is already up to date.
PYTHON ?= $(shell for p in python3 python3.12 python3.11 python3.13; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8501
# Only this machine can open the page; ADDRESS=0.0.0.0 lets others in.
ADDRESS ?= localhost

.PHONY: run test lint types unit docs lock clean

run: $(VENV)/.run
	$(BIN)/maskdet app --address $(ADDRESS) --port $(PORT)

test: lint types unit

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

unit: $(VENV)/.dev
	$(BIN)/pytest

# Into site/; any warning, and anything that a page would load from another server, is an
# error.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "maskdet needs Python 3.11 to 3.13 and found none; install one or say: make PYTHON=/path/to/python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The development lock contains the run-time lock, so after `make test`
# there is nothing left for `make run` to install.
$(VENV)/.run: requirements.lock | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	touch $@

$(VENV)/.dev: requirements-dev.lock requirements.lock | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.lock
	touch $@ $(VENV)/.run

# The command `maskdet`, which runs this checkout.
$(VENV)/.run $(VENV)/.dev: | $(VENV)/.command
$(VENV)/.command: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

$(VENV)/.docs: requirements-docs.lock $(VENV)/.run
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements-docs.lock
	touch $@

# Needs uv; run after a change of requirements*.txt.
lock:
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 requirements-dev.txt -o requirements-dev.lock
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 -c requirements-dev.lock requirements.txt -o requirements.lock
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 -c requirements-dev.lock requirements-docs.txt -o requirements-docs.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
