# The environment is made when it is missing: `make demo` and `make test` work on a fresh clone.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test quick coverage check floors docs env scatter clean
.DEFAULT_GOAL := help

help:  ## Show what there is to make
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

demo: $(VENV)/base  ## Train and test a small model on generated motions, about 3 minutes
	rm -rf runs/demo
	$(BIN)/python examples/ntu_fewshot.py --out runs/demo $(DEMO)

test: $(VENV)/base  ## Run the whole test suite, with torch-scatter if it is installed
	$(BIN)/python -m pytest -n 2 $(PYTEST)

quick: $(VENV)/base  ## Run the tests that are not marked slow, in under 90 seconds
	$(BIN)/python -m pytest -n 2 -m "not slow" $(PYTEST)

coverage: $(VENV)/base  ## Run the whole suite and list the lines that no test reaches
	$(BIN)/python -m pytest -n 2 --cov --cov-report=term-missing:skip-covered $(PYTEST)

check: $(VENV)/base  ## Lint and type-check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Each version of Python is type-checked; those that are installed also compile the sources.
floors: $(VENV)/base  ## Check the sources for Python 3.10 to 3.13
	@for version in 3.10 3.11 3.12 3.13; do \
	    echo "Python $$version"; \
	    $(BIN)/mypy --python-version $$version || exit 1; \
	    python$$version -c "" 2> /dev/null || { echo "not installed, so not compiled"; continue; }; \
	    find pyg_fsar examples benchmarks tests docs -name "*.py" | python$$version -c "import sys; \
	        [compile(open(f, encoding='utf-8').read(), f, 'exec') for f in sys.stdin.read().split()]" \
	        || exit 1; \
	done

docs: $(VENV)/docs  ## Build the documentation into docs/build
	$(BIN)/sphinx-build -W --keep-going -q docs/source docs/build

env: $(VENV)/base  ## Make the environment without torch-scatter
scatter: $(VENV)/scatter  ## Add torch-scatter, whose compilation takes about 10 minutes

clean:  ## Remove the environment and what was built
	rm -rf $(VENV) docs/build docs/source/api

$(VENV)/base: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	@echo "Installing PyTorch and the package into $(VENV)"
	$(PIP) torch
	$(PIP) --editable ".[dev]"
	@touch $@

# torch-scatter has no wheel on the package index and must be built against the installed torch.
# PyG uses it if it is installed, so the tests run with it as well as without.
$(VENV)/scatter: $(VENV)/base
	@echo "Compiling torch-scatter, about 10 minutes the first time"
	$(PIP) setuptools wheel ninja
	$(PIP) --no-build-isolation torch-scatter
	@touch $@

$(VENV)/docs: $(VENV)/base
	$(PIP) --editable ".[docs]"
	@touch $@
