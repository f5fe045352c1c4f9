# One command per job. Everything works from a fresh clone: Python 3.11 and a package registry are all it needs.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-all bench check format lock docs clean

demo: $(READY)  ## run the whole pipeline on real movie reviews and ask the model that it pushed
	$(BIN)/python -m pipeline.demo

test: $(READY)  ## the test suite, without what takes over a minute
	$(BIN)/python -m pytest -m "not slow"

test-all: $(READY)  ## every test
	$(BIN)/python -m pytest

bench: $(READY)  ## ten minutes of wrong requests to the server, which nobody else may notice
	$(BIN)/python benchmarks/serving_fuzz.py --seconds 600

check: $(READY)  ## format, lint, types, import contract, generated docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/transom schema --markdown | diff docs/configuration.md - || { echo "run: make docs"; exit 1; }

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(READY)  ## the configuration reference, from the schema
	$(BIN)/transom schema --markdown > docs/configuration.md

lock: $(READY)  ## resolve pyproject.toml anew into requirements.lock
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --upgrade --custom-compile-command "make lock" -o requirements.lock
	$(BIN)/uv pip compile --group cuda --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --upgrade --custom-compile-command "make lock" -o requirements-cuda.lock
	for each in tests/environments/mediapipe tests/environments/litert benchmarks/edge-peers; do \
	  $(BIN)/uv pip compile $$each.in --no-config --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --upgrade --custom-compile-command "make lock" -o $$each.lock || exit 1; done

# uv installs the lock several times faster than pip; every package is checked against its hash. --no-deps: the lock
# is whole, and three of its wheels are older than their dependants ask for (see pyproject.toml).
$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info[:2] == (3, 11) else "Transom needs Python 3.11: make PYTHON=...")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements-uv.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --no-deps --compile-bytecode -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $(READY)

clean:  ## remove the environments and the demo's output
	rm -rf $(VENV) .environments demo-out
