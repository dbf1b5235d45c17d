# Two commands do everything on a fresh machine with Python 3.11+, git and make: `make demo` and `make test`.
# PYTHON=... chooses the Python, JOBS=... how many tests run at once, ARGS=... what `run`, `test` and `test-all` pass on.

PYTHON ?=
JOBS ?= 2
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest --dist worksteal -n $(JOBS)

.PHONY: demo run test test-all check format bench screenshots clean environment

demo: environment
	$(BIN)/pgsurveyor demo $(ARGS)

run: environment
	$(BIN)/pgsurveyor $(ARGS)

test: environment
	$(PYTEST) -m "not all" $(ARGS)

test-all: environment
	scripts/install-debian-packages
	$(BIN)/python scripts/fetch-servers
	scripts/fetch-sarif-schema
	$(PYTEST) -m all $(ARGS)
	for major in 14 15 16 17; do $(PYTEST) -m "not all" --major $$major $(ARGS) || exit 1; done

check: environment
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python scripts/check-docs

format: environment
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: environment
	$(BIN)/python scripts/bench.py $(ARGS)

screenshots: environment
	$(BIN)/python scripts/screenshots.py

clean:
	rm -rf $(VENV) build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache

environment:
	@scripts/make-environment $(VENV) "$(PYTHON)"
