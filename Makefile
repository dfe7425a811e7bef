# Bare `make` lists the targets. PYTHON chooses the interpreter the environment is made with.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.eigengate-ready
PORT ?= 8000

.PHONY: help demo test test-fast lint types generate serve clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  \033[1m%-10s\033[0m %s\n", $$1, $$2}'

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,dev]' $(PIP_OPTIONS)
	@touch $@

setup: $(READY) ## make the virtual environment and install everything, versions as in constraints.txt

demo: $(READY) ## train two small networks, audit them over HTTP, gate them: the whole product in a few minutes
	$(BIN)/python examples/demo.py

test: $(READY) ## run the tests (about a quarter of an hour on two cores)
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-fast: $(READY) ## run the tests that need no servers and are quick
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not servers"

lint: $(READY) ## formatting, lint rules, import directions, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy

generate: $(READY) ## write generated files again: JSON Schemas
	$(BIN)/python -m eigengate.cli.generate

serve: $(READY) ## keep a service running on http://127.0.0.1:8000 (PORT=...)
	$(BIN)/eigengate serve --port $(PORT)

clean: ## remove the environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
