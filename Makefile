# The environment is made when it is missing: `make demo` and `make test` work on a fresh clone.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test check docs env scatter clean
.DEFAULT_GOAL := help

help:  ## Show what there is to make
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

demo: $(VENV)/base  ## Train and test a small model on generated motions, about 3 minutes
	rm -rf runs/demo
	$(BIN)/python examples/ntu_fewshot.py --out runs/demo $(DEMO)

test: $(VENV)/scatter  ## Run the whole test suite, with torch-scatter and without
	$(BIN)/python -m pytest -n 2 $(PYTEST)

check: $(VENV)/base  ## Lint and type-check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/docs  ## Build the documentation into docs/build
	$(BIN)/sphinx-build -W --keep-going -q docs/source docs/build

env: $(VENV)/base  ## Make the environment without torch-scatter
scatter: $(VENV)/scatter  ## Add torch-scatter, which compiles for about 10 minutes

clean:  ## Remove the environment and what was built
	rm -rf $(VENV) docs/build docs/source/api

$(VENV)/base: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	@echo "Installing PyTorch and the package into $(VENV)"
	$(PIP) torch
	$(PIP) --editable ".[dev]"
	@touch $@

# torch-scatter has no wheel on the package index and must be built against the installed torch.
# PyG uses it where it is present, so only the tests need it.
$(VENV)/scatter: $(VENV)/base
	@echo "Compiling torch-scatter, about 10 minutes the first time"
	$(PIP) setuptools wheel ninja
	$(PIP) --no-build-isolation torch-scatter
	@touch $@

$(VENV)/docs: $(VENV)/base
	$(PIP) --editable ".[docs]"
	@touch $@
