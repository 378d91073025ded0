# `make run` is all a newcomer needs; every recipe works on a machine that has only git, make and python3 >= 3.11.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

PEERS := $(foreach peer,sdk sdk-coincurve ccxt,.cache/peers/$(peer)/.installed)

.PHONY: install peers run test soak bench-history check format golden docs requirements clean

install: $(STAMP)  ## create .venv from the pinned, hashed requirement files

$(STAMP): requirements/bootstrap.txt requirements/dev.txt pyproject.toml
	$(PYTHON) -m venv .venv && $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements/dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e . && touch $@

peers: $(PEERS)  ## other people's clients for the interop suite and the benches, each in an environment of its own under .cache/peers

.cache/peers/%/.installed: requirements/peers-%.txt $(STAMP)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .cache/peers/$*
	$(BIN)/uv pip install --quiet --python .cache/peers/$*/bin/python --require-hashes -r $< && touch $@

run: install  ## venue, sidecar and Dagster, two days of history judged, a rotation accepted, a hundred signed trades; until Ctrl-C
	$(BIN)/hip3 up

test: install peers  ## the whole suite
	$(BIN)/pytest -q

soak: install peers  ## what takes minutes: the official SDK's websocket on the simulated venue for ten of them
	$(BIN)/pytest -q -m soak

bench-history: install  ## timings of history: a day through the engine, 30 days of columns
	$(BIN)/python tests/bench/bench_history.py

check: install  ## lint, types, import rules, spelling, generated files, requirement files, each extra alone
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports && $(BIN)/codespell
	$(BIN)/python docs/generate.py --check && requirements/compile.sh --check
	$(BIN)/python requirements/prove_extras.py && $(BIN)/dg check defs

format: install
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

golden: install  ## regenerate golden texts; review the diff
	$(BIN)/pytest -q tests/contracts --golden

docs: install  ## regenerate warehouse/README.md and docs/tables/
	$(BIN)/python docs/generate.py

requirements:  ## pin again from pyproject.toml
	requirements/compile.sh

clean:  ## everything that is not in git, the data included
	git clean -fdxq -e .venv && rm -rf .venv
