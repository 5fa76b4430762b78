# Commands of the README. Everything runs in .venv, made from constraints.txt, the versions that the tests know.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: venv quickstart unit test nightly coverage lint types check mutants golden docs site picture release clean

venv: .venv/made

.venv/made: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch .venv/made

quickstart: venv
	$(BIN)/rlsp run recipes/quickstart.yaml

# A worker for each processor, a file's tests in one of them, in the order of their names: by default the files with the
# fewest tests come last, and those are the slowest. A test that hangs ends the run: a new worker would start it again.
# Models this small are slower with several threads.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --dist loadfile --no-loadscope-reorder --max-worker-restart 0

TESTS_unit := not integration and not nightly
TESTS_test := not nightly
TESTS_nightly := nightly

unit test nightly: venv
	$(PYTEST) -m "$(TESTS_$@)"

# Of what `make test` runs, or with TIER=unit of what `make unit` does; in processes that tests start, too.
TIER ?= test
coverage: venv
	$(PYTEST) -m "$(TESTS_$(TIER))" --cov --cov-report=term:skip-covered

lint: venv
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell

types: venv
	$(BIN)/mypy

check: lint types test

# Hours, so not part of check; MUTANTS="rlsp_cli.engine.loss*" names some. `mutmut results` lists the survivors.
mutants: venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[mutants]'
	OMP_NUM_THREADS=1 PATH="$(CURDIR)/$(BIN):$$PATH" mutmut run $(MUTANTS)

golden: venv
	$(BIN)/python -m tests.golden.write

docs: venv
	$(BIN)/python docs/reference.py > docs/recipe.md
	$(BIN)/python docs/cli.py > docs/cli.md
	$(BIN)/python docs/api.py > docs/api.md
	$(BIN)/python docs/methods.py > docs/methods.md

# Of the newest quickstart, for the README.
RUN ?= $(lastword $(sort $(wildcard runs/quickstart/*)))
picture: venv
	$(BIN)/python docs/picture.py $(RUN) > docs/run.svg

# The search of the site needs a server: `python -m http.server --directory site`.
site: venv
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Commits and tags; pushes and uploads nothing. CHECKS="lint types unit" is quicker.
CHECKS ?= check
release: venv
	CHECKS="$(CHECKS)" $(BIN)/python .ci/release.py $(VERSION)

clean:
	rm -rf .venv dist mutants site
