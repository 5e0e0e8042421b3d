PYTHON ?= python3
BIN := .venv/bin
# Each test computes on one thread.
SIDE_BY_SIDE := --numprocesses logical --maxprocesses 4 --dist worksteal

.PHONY: help bench test test-all test-ray wheel-test lint check format docs install clean

## list the targets
help:
	@awk '/^## / { text = substr($$0, 4); next } /^[a-z-]+:/ && text { split($$1, target, ":"); \
		printf "make %-12s %s\n", target[1], text } { text = "" }' $(MAKEFILE_LIST)

## install, then compare rmd, softmix and ce on the digits: two to four minutes
bench: install
	$(BIN)/python -m bench.run --methods rmd,softmix --noise 0.2,0.5,0.8

## run the tests that need neither data, a GPU, a browser nor minutes
test: install
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)

## run all tests; those that this machine cannot run are skipped with a reason
test-all: install
	$(BIN)/python -m pytest -m ""
	.ci/ray-test $(BIN)/python

## run the tests of sweeps with the lowest and the newest Ray that pyproject.toml allows
test-ray: install
	.ci/ray-test $(BIN)/python

## build a wheel, install it into a clean environment and run a short sweep there
wheel-test: install
	.ci/wheel-test $(BIN)/python

## check format, lint, types and the rules of the rooms: half a minute
lint: install
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports setup.cfg

## run lint and test: everything that a change has to pass
check: lint
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)

## format the code and mend what ruff can mend
format: install
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

## write the tables of the READMEs, and figure and table of the front page, from the committed boards
docs: install
	$(BIN)/python .ci/tables

## install into .venv, with the tools for development
install: .venv/.installed

.venv/.installed: pyproject.toml setup.cfg constraints.txt
	$(PYTHON) -m venv .venv || { echo "no virtual environment could be made: on Debian, apt install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

## remove .venv and what builds leave
clean:
	rm -rf .venv build *.egg-info
