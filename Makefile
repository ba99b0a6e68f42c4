# `make` or `make help` says what there is.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
BIN := .venv/bin

.PHONY: help
help: ## this list
	@printf 'Lucid: remote desktops whose recordings nobody can quietly alter, lose or read.\n\n'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  \033[1mmake %-10s\033[0m %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@printf '\nA fresh machine needs two of these: make up, make test. All else is in README.md.\n'

.PHONY: setup
setup: ## install what is missing: system packages, .venv
	@scripts/setup

.PHONY: up
up: setup ## start the stack, record a desktop for 20 s, prove it offline, show a report
	@$(BIN)/lucid up

.PHONY: down
down: ## stop the stack that `make up` started
	@$(BIN)/lucid dev stop

.PHONY: test
test: setup-test lint ## everything that must hold: linters, types, layers, all tests on the real servers
	@LUCID_SEED=$${LUCID_SEED:-20261121} $(BIN)/python -m pytest --numprocesses=2

.PHONY: setup-test
setup-test:
	@scripts/setup test

.PHONY: lint
lint: setup ## formatting, linters, types, layers
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/lint-imports --no-cache >/tmp/lucid-layers.$$$$ || { cat /tmp/lucid-layers.$$$$; exit 1; }
	@$(BIN)/mypy
	@if [ -x $(BIN)/ansible-lint ]; then $(BIN)/yamllint --strict . && $(BIN)/ansible-lint --offline -q; fi

.PHONY: lab
lab: setup-lab ## ten virtual hosts on this machine, Lucid put onto them by site.yml, a remote desktop proved
	@$(BIN)/python -m lab journey

.PHONY: rdp
rdp: setup-lab ## the whole site on one virtual host, a remote desktop proved; make lab-down LUCID_LAB=single
	@LUCID_LAB=single $(BIN)/python -m lab --inventory single journey

.PHONY: lab-status
lab-status: ## the lab's hosts: units, memory, health
	@$(BIN)/python -m lab status

.PHONY: lab-shell
lab-shell: ## a root shell in a host of the lab: make lab-shell HOST=core1
	@$(BIN)/python -m lab shell $(HOST)

.PHONY: lab-down
lab-down: ## remove the lab without a trace
	@$(BIN)/python -m lab down

.PHONY: setup-lab
setup-lab:
	@scripts/setup lab

.PHONY: soak
soak: setup-test ## the long runs: random kills over hundreds of recordings, long fuzzing
	@LUCID_FUZZ_SECONDS=60 $(BIN)/python -m pytest tests/fuzz tests/forgeries/test_fuzzing.py tests/verifier/test_fuzzing.py --timeout 3000
	@$(BIN)/python -m pytest tests/soak -m soak -s --timeout 40000

.PHONY: bench
bench: setup-bench ## the figures, beside the bare C libraries and other programs, in one run
	@$(BIN)/python -m benchmarks

.PHONY: setup-bench
setup-bench:
	@scripts/setup bench

.PHONY: docs
docs: setup ## renew docs/api.md from the routes
	@$(BIN)/python -m lucid.gateway.reference >docs/api.md

.PHONY: lock
lock: setup ## renew requirements/*.txt from requirements/*.in
	@for name in runtime dev deploy stack; do \
	  $(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-emit-index-url --no-annotate --no-header \
	    --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
	    requirements/$$name.in -o requirements/$$name.txt; \
	done

.PHONY: clean
clean: ## remove what was built here; the stack's state in .state stays
	@rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
