# One command per job. Everything works from a fresh clone: Python 3.11 and a package registry are all it needs.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BACKENDS := models/training/elsewhere/locks
# One process per core, each with whole files, so that a file's fixtures are made once. At most eight: each process
# takes up to 2.5 GB. In the order of tests/conftest.py, which leaves no core idle at the end.
PYTEST := $(BIN)/python -m pytest -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder

.PHONY: install demo test test-all bench fuzz check hooks format lock docs release-check clean

install: $(READY)  ## the environment alone, with the command `transom`

demo: $(READY)  ## run the whole pipeline on real movie reviews and query the model that it pushed
	$(BIN)/python -m pipeline.demo

test: $(READY)  ## the test suite on every core, without what is marked slow
	$(PYTEST) -m "not slow"

test-all: $(READY)  ## every test
	$(PYTEST)

bench: $(READY)  ## the quick benchmarks
	$(BIN)/python benchmarks/quick.py

fuzz: $(READY)  ## ten minutes of invalid requests to the server, while other clients expect prompt responses
	$(BIN)/python benchmarks/serving_fuzz.py --seconds 600

check: $(READY)  ## format, lint, types, import contracts, generated docs; `make hooks` has the same before each commit
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/transom schema --markdown | diff docs/configuration.md - || { echo "run: make docs"; exit 1; }
	$(BIN)/python docs/site/commands_page.py | diff docs/commands.md - || { echo "run: make docs"; exit 1; }
	$(BIN)/python docs/site/architecture_picture.py | diff docs/architecture.svg - || { echo "run: make docs"; exit 1; }

hooks: $(READY)  ## check each commit with this environment's tools (.pre-commit-config.yaml)
	$(BIN)/pre-commit install

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(READY)  ## the pages that are made from the code, then the site, in docs-out; a broken link is an error
	$(BIN)/transom schema --markdown > docs/configuration.md
	$(BIN)/python docs/site/commands_page.py > docs/commands.md
	$(BIN)/python docs/site/architecture_picture.py > docs/architecture.svg
	$(BIN)/python docs/site/build_site.py docs-out

lock: $(READY)  ## resolve pyproject.toml again into the locks
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --upgrade --custom-compile-command "make lock" -o requirements.lock
	$(BIN)/uv pip compile --group cuda --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --upgrade --custom-compile-command "make lock" -o requirements-cuda.lock
	for each in tests/environments/docs tests/environments/browser tests/environments/mediapipe tests/environments/litert benchmarks/edge_peers/environment \
	    benchmarks/training_peers/environment $(BACKENDS)/jax $(BACKENDS)/torch; do \
	  $(BIN)/uv pip compile $$each.in $$(ls $$each.overrides 2>/dev/null | sed 's/^/--overrides /') \
	  --no-config --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --upgrade --custom-compile-command "make lock" -o $$each.lock || exit 1; done

# uv installs the lock several times faster than pip and checks every package against its hash. --no-deps: the lock is
# complete, and three of its wheels are older than the packages that need them ask for (see pyproject.toml).
$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info[:2] == (3, 11) else "Transom needs Python 3.11: make PYTHON=...")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements-uv.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --no-deps --compile-bytecode -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $(READY)

release-check: $(READY)  ## what must hold before a release is tagged; TRIAL=1 between releases
	$(BIN)/python .ci/release_check.py $(if $(TRIAL),--trial)

clean:  ## remove the environments, the distributions and the demo's output
	rm -rf $(VENV) .environments dist demo-out docs-out
