PYTHON ?= python3
BIN := .venv/bin
# each test computes on one thread
SIDE_BY_SIDE := --numprocesses logical --maxprocesses 4 --dist worksteal

.PHONY: bench test test-all wheel-test check format install clean

## what a newcomer types: install, then the sweep of the README on the digits
bench: install
	$(BIN)/python -m bench.run --methods rmd,softmix --noise 0.2,0.5,0.8

## tests that need neither data, a GPU, a browser nor minutes
test: install
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)

## all of them; what is missing on this machine is skipped with a reason
test-all: install
	$(BIN)/python -m pytest -m ""

## README's command, shortened, from a wheel in a clean environment
wheel-test: install
	.ci/wheel-test $(BIN)/python

## everything a change has to pass
check: install
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)

format: install
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

install: .venv/.installed

.venv/.installed: pyproject.toml setup.cfg constraints.txt
	$(PYTHON) -m venv .venv || { echo "no virtual environment could be made: on Debian, apt install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv build *.egg-info
