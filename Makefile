# `make run` starts the dashboard; `make test` checks everything. Both build the
# environment first and skip that when it is already up to date.
PYTHON ?= $(shell for p in python3 python3.12 python3.11 python3.13; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8501
# Only this machine can open the page; ADDRESS=0.0.0.0 allows other machines.
ADDRESS ?= localhost
# Each worker of the tests needs up to 3 GB of memory.
WORKERS ?= auto
PYTEST := $(BIN)/pytest -n $(WORKERS) --maxprocesses=4 --dist=loadscope
ifneq ($(filter-out 0,$(FAST)),)
PYTEST += -m "not browser and not slow"
endif
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check

.PHONY: help run test lint types unit docs soak hostile lock clean

help:  ## list these targets
	@awk -F ':.*  ## ' '/^[a-z]+:.*  ## / { printf "make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/.run  ## start the dashboard; PORT=8501 ADDRESS=localhost
	$(BIN)/maskdet app --address $(ADDRESS) --port $(PORT)

test: lint types unit  ## check everything; FAST=1 leaves out browser and training

lint: $(VENV)/.dev  ## check style and format of the code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev  ## check types
	$(BIN)/mypy

unit: $(VENV)/.dev  ## run the tests alone; FAST=1 and WORKERS=2 as well
	$(PYTEST)

# Reliability tests, which take half an hour each; see docs/reliability.md.
MINUTES ?= 30
VIEWERS ?= 4
IMAGES ?= 2000
VIDEOS ?= 200
ZIPS ?= 100
SETTINGS ?= 100
soak: $(VENV)/.dev  ## watch live video for long; MINUTES=30 VIEWERS=4
	$(BIN)/python tests/soak/soak.py --minutes $(MINUTES) --viewers $(VIEWERS)
	$(BIN)/python tests/soak/kept_frames.py

hostile: $(VENV)/.dev  ## read damaged and malicious files; IMAGES=2000 VIDEOS=200
	$(BIN)/python tests/soak/hostile.py --images $(IMAGES) --videos $(VIDEOS) --zips $(ZIPS) --settings $(SETTINGS)

# Into site/; any warning, and anything that a page would load from another server, is an
# error.
docs: $(VENV)/.docs  ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# What is touched last says that all before it was done, so that a next try begins
# again where one was interrupted.
$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo "maskdet needs Python 3.11 to 3.13 and found none; install one or say: make PYTHON=/path/to/python3.12"; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	@touch $@

# The development lock contains the run-time lock, so after `make test`
# there is nothing left for `make run` to install.
$(VENV)/.run: requirements.lock | $(VENV)/.made
	@echo "Installing about 3 GB into $(VENV), once; this takes some minutes."
	$(PIP_INSTALL) -r requirements.lock
	@touch $@

$(VENV)/.dev: requirements-dev.lock requirements.lock | $(VENV)/.made
	@echo "Installing about 4 GB into $(VENV), once; this takes some minutes."
	$(PIP_INSTALL) -r requirements-dev.lock
	@touch $(VENV)/.run $@

$(VENV)/.docs: requirements-docs.lock $(VENV)/.run
	$(PIP_INSTALL) -r requirements-docs.lock
	@touch $@

# The command `maskdet`, which runs this checkout.
$(VENV)/.run $(VENV)/.dev: | $(VENV)/.command
$(VENV)/.command: pyproject.toml | $(VENV)/.made
	@$(PIP_INSTALL) --quiet --no-deps --editable .
	@touch $@

lock: $(VENV)/.made  ## pin all packages again after a change of requirements*.txt
	$(PIP_INSTALL) --quiet uv
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 requirements-dev.txt -o requirements-dev.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 -c requirements-dev.lock requirements.txt -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 -c requirements-dev.lock requirements-docs.txt -o requirements-docs.lock

clean:  ## remove the environment and all caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
