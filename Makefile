# Commands of the README. Everything runs in .venv, made from constraints.txt, the versions that the tests know.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: venv quickstart test lint types check mutants golden docs clean

venv: .venv/made

.venv/made: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch .venv/made

quickstart: venv
	$(BIN)/rlsp run recipes/quickstart.yaml

# A worker for each processor, a file's tests in one of them, in the order of their names: by default the files with the
# fewest tests come last, and those are the slowest. Models this small are slower with several threads.
test: venv
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

lint: venv
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

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

clean:
	rm -rf .venv dist mutants
