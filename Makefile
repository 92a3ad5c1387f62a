# The contributor's front door. `make demo` and `make test` need only Python 3.11+, make and the network.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
# The system's certificates, so that a company proxy's own authority is trusted.
export UV_SYSTEM_CERTS := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo test lint unit system verify bench bench-peers lock clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: .venv/.ready  ## create .venv with everything for the demo and the tests

.venv/.ready: requirements.lock requirements-setup.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "tailrace needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 2; }
	@echo "setting up (first time only): python packages into .venv" >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements-setup.lock
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock requirements-setup.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

setup-dev: setup  ## the system programs that only some checks need (promtool), by apt, after saying so
	@command -v promtool >/dev/null || { \
	  command -v apt-get >/dev/null || { echo "no apt-get here: install prometheus (for promtool) yourself" >&2; exit 2; }; \
	  sudo=""; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	  echo "installing with apt-get: prometheus (for promtool)" >&2; \
	  $$sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq --no-install-recommends prometheus >/dev/null; }

demo: setup  ## the main job on the embedded stack: real flights, a worker killed, retrained and swapped, the books closed
	@$(BIN)/tailrace demo --report .tailrace/demo.html $(ARGS)

test: lint unit system  ## everything: lint, types, import contracts, unit and system tests (real Kafka, real Redis)

lint: setup  ## ruff, mypy --strict, import contracts
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

unit: setup  ## tests without a broker
	@$(BIN)/pytest -q --numprocesses auto tests/unit $(ARGS)

system: setup  ## tests on the embedded stack
	@$(BIN)/pytest -q --numprocesses 2 --dist loadfile tests/contract tests/system $(ARGS)

verify: setup  ## every promise at full size: delivery and monitor in 3 seeds each, 2 x 100,000 mutated records, rollouts, the controls (70 min)
	@$(BIN)/tailrace verify simulation
	@for pipeline in flights obesity; do $(BIN)/tailrace verify bad-input $$pipeline || exit 1; done
	@for seed in 1 2 3; do $(BIN)/tailrace verify delivery flights --seed $$seed --broker-kills 3 $(ARGS) || exit 1; done
	@$(BIN)/tailrace verify frozen-batch flights
	@for seed in 1 2 3; do $(BIN)/tailrace verify monitor flights --seed $$seed || exit 1; done
	@$(BIN)/tailrace verify rollout flights
	@$(BIN)/tailrace verify rollback flights
	@$(BIN)/tailrace verify challengers flights
	@echo "the controls: here the checker must find what is wrong" >&2
	@$(BIN)/tailrace verify delivery flights --guarantee at_least_once --records 10000 --kills 5 --freezes 0 --broker-kills 0; \
	  test $$? -eq 1
	@$(BIN)/tailrace verify frozen-batch flights --planted; test $$? -eq 1
	@$(BIN)/tailrace verify monitor flights --records 5000 --planted drop; test $$? -eq 1

bench: setup  ## records/s, CPU and memory of the scorer beside a bare loop
	@$(BIN)/tailrace bench scorer $(ARGS)

bench-peers: setup  ## the same records scored by Quix Streams, FastStream, Bytewax and Faust, each in its own environment
	@$(BIN)/tailrace bench peers $(ARGS)

clean:  ## remove what was made here: .venv, caches, the local state folder
	@if [ -x $(BIN)/tailrace ]; then $(BIN)/tailrace down >/dev/null 2>&1 || true; fi
	rm -rf .venv .tailrace .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

lock:  ## resolve pyproject.toml again into requirements.lock (hashes, no addresses)
	@test -x $(BIN)/uv || $(MAKE) --no-print-directory setup
	$(BIN)/uv pip compile --quiet pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header --no-annotate --output-file requirements.lock
