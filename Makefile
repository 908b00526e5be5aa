# The commands of this project. Each does the set-up it needs: `make demo` works on a fresh clone.
# Needed: python3 (3.11 or later) with venv, make, git; uv is used where it is installed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
WORKERS ?= 2
CUDA ?=

# Measured data beside the project, where there are any; examples fetch what they need otherwise.
ifeq ($(origin GEMEL_DATA),undefined)
ifneq ($(wildcard ../shared/data),)
export GEMEL_DATA := $(abspath ../shared/data)
endif
endif

EXTRAS := $(if $(CUDA),dev$(comma)cuda,dev)
comma := ,

.PHONY: help setup demo verify test test-fast lint format bench proto clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1|/' | column -t -s '|'

setup: $(READY) ## create .venv and install gemel with its development tools (CUDA=1 adds the GPU)

$(READY): pyproject.toml
	@if command -v uv >/dev/null 2>&1; then \
	  uv venv --quiet --allow-existing --python $(PYTHON) $(VENV) && uv pip install --quiet --python $(BIN)/python -e '.[$(EXTRAS)]'; \
	else \
	  $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[$(EXTRAS)]'; \
	fi
	@touch $(READY)

demo: $(READY) ## calibrate the example twins and show what came of it (about three minutes)
	$(BIN)/gemel demo

verify: $(READY) ## run every verification case and print the table
	$(BIN)/gemel verify --all --jobs $(WORKERS)

test: $(READY) ## run all tests
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

# Most of a test's time is compilation: here with few optimisations, in half the time; `make test` compiles as users do.
test-fast: $(READY) ## run the tests that take less than about ten seconds each
	JAX_DISABLE_MOST_OPTIMIZATIONS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m 'not slow'

lint: $(READY) ## check style, types, layers and the protocol
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	@if command -v npx >/dev/null 2>&1; then \
	  echo 'buf lint'; cd bindings/proto && npx --yes @bufbuild/buf@1 lint; \
	else echo 'buf lint: skipped, npx is not installed'; fi

format: $(READY) ## rewrite the code in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## run the benchmarks, beside the peers that are installed, and write benchmarks/report
	$(BIN)/python -m benchmarks run
	$(BIN)/python -m benchmarks report

proto: $(READY) ## generate the Python code of the gRPC messages
	$(BIN)/python bindings/proto/generate.py

clean: ## remove what can be made again
	rm -rf $(VENV) benchmarks/.envs build dist runs store src/*.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
