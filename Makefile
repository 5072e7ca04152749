# Two commands do everything: `make demo` and `make test`. Both create .venv on their first run.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test lint bench torture fuzz clean
.DEFAULT_GOAL := help

help:  ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -q -e '.[train,smpl,dask,export,croissant,dev]'
	@touch $(STAMP)

demo: $(STAMP)  ## simulate, convert, train, evaluate, predict; leaves demo/report.html
	$(BIN)/python demo/run.py

test: $(STAMP) lint  ## lint, type check and test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

lint: $(STAMP)  ## ruff and mypy
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(STAMP)  ## speed ratios against named alternatives
	$(BIN)/python -m benchmarks

torture: $(STAMP)  ## the reliability tests at full size
	PVIT_TORTURE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m torture -n auto --dist loadfile --durations=0 -rap

fuzz: $(STAMP)  ## ten minutes of coverage-guided fuzzing of every parser (installs atheris)
	$(BIN)/python -m pip install --disable-pip-version-check -q atheris
	$(BIN)/python -m tests.torture.fuzz

clean:  ## remove what demo and tests leave behind
	rm -rf demo/out demo/report.html .pytest_cache .mypy_cache .ruff_cache
