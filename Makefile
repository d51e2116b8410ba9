# `make demo` and `make test` need only Python 3.11+, make and the package index: they set up the rest.
#
#   make PYTHON=python3.12 test     another Python for a new .venv
#   make JOBS=4 test                more test processes

PYTHON ?= python3
JOBS   ?= 2

VENV := .venv
BIN  := $(VENV)/bin
PIP  := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-bench lint format docs constraints clean

help:  ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.installed-base  ## a posterior for a real table, beside the same posterior by NUTS
	$(BIN)/posterity infer linear_regression examples/diabetes.csv --target progression --compare-nuts

test: $(VENV)/.installed-dev  ## the fast tests, doctests included
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile

test-slow: $(VENV)/.installed-dev  ## the statistical and learning tests, compiled as users have it
	JAX_DISABLE_MOST_OPTIMIZATIONS=0 XLA_FLAGS= $(BIN)/python -m pytest --numprocesses $(JOBS) -m slow

test-bench: $(VENV)/.installed-dev  ## smoke runs of the benchmarks and the study, compiled as users have it
	JAX_DISABLE_MOST_OPTIMIZATIONS=0 XLA_FLAGS= $(BIN)/python -m pytest --numprocesses $(JOBS) -m bench

lint: $(VENV)/.installed-dev  ## style, docstrings, format, floors, types; changes nothing
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/pyright

format: $(VENV)/.installed-dev  ## mend what Ruff can mend
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(VENV)/.installed-docs  ## check the documentation and build it into site/
	PYTHONPATH=tools $(BIN)/python -m pages.check
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

constraints:  ## renew constraints.txt with the newest releases
	rm -rf $(VENV)-new
	$(PYTHON) -m venv $(VENV)-new
	$(VENV)-new/bin/pip install --quiet --disable-pip-version-check --editable '.[bench,docs,dev]'
	sed '/^#/!d' constraints.txt > constraints.txt.new
	$(VENV)-new/bin/pip freeze --exclude-editable >> constraints.txt.new
	mv constraints.txt.new constraints.txt
	rm -rf $(VENV)-new

clean:  ## remove .venv, caches and built files
	rm -rf $(VENV) $(VENV)-new build dist site .pytest_cache .ruff_cache .hypothesis
	find src tests tools docs examples -name __pycache__ -type d -prune -exec rm -rf {} +

# One stamp for each set of packages: installed again only when pyproject.toml or constraints.txt changes.
$(VENV)/.installed-base: EXTRA :=
$(VENV)/.installed-dev: EXTRA := [dev]
$(VENV)/.installed-docs: EXTRA := [docs]
$(VENV)/.installed-%: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing posterity$(EXTRA) into $(VENV): about a minute the first time."
	@$(PIP) --editable '.$(EXTRA)'
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "Posterity needs Python 3.11 or newer, and $(PYTHON) is not. Name another: make PYTHON=python3.12 ..." >&2; \
	    exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	    rm -rf $(VENV); \
	    echo "$(PYTHON) cannot make a virtual environment. On Debian and Ubuntu, install python3-venv first." >&2; \
	    exit 1; }
