# Needs Python 3.11 or newer and a package index, nothing else. Choose the interpreter with `make PYTHON=python3.12 ...`.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CONFIG ?= configs/fashion_mnist.py
# Each a process, the longest first, so that no core waits at the end; start-up takes some seconds of each. The folders
# that a process names are NAMED; `others` has all the rest.
NAMED := launch operators posteriors potentials samplers training
TESTS := $(addprefix test-,top-level launch operators samplers posteriors others)
NOTEBOOKS := $(patsubst colabs/%,.cache/notebooks/%,$(wildcard colabs/*.ipynb))
JOBS ?= $(shell nproc 2>/dev/null || echo 2)

# In a variable, since the comma would part the arguments of a call.
LIBRARY := .[train,plots]

DEMO ?= $(BIN)/python -m launch.restore --config=$(CONFIG) --demo
TRAIN ?= $(BIN)/python -m launch.train --config=$(CONFIG)

# uv installs in seconds; pip, which knows every setting of the user's index, takes over where uv cannot.
define install
$(BIN)/python -m uv pip install -q --python $(BIN)/python -c constraints.txt -e '$(1)' || \
	{ echo "uv could not install; trying pip"; $(BIN)/python -m pip install -q -c constraints.txt -e '$(1)'; }
endef

.DEFAULT_GOAL := help
.PHONY: help demo train test fast soak docs lint types constraints wheel clean $(TESTS)

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/library.stamp  ## restore images with the priors that the package ships
	$(DEMO)

train: $(VENV)/library.stamp  ## train a prior (CONFIG=configs/...)
	$(TRAIN)

# What each process prints comes when it ends, where make is new enough to know how.
test: lint types  ## ruff, pyright and pytest
	GNUMAKEFLAGS=--output-sync=target $(MAKE) --no-print-directory --jobs=$(JOBS) $(TESTS)

fast: $(VENV)/test.stamp  ## a row of every family of tests, in a minute and a half
	$(BIN)/python -m pytest --fast $(shell grep -l '^FAST = ' tests/*.py tests/*/*.py)

test-top-level: PATHS = $(wildcard tests/test_*.py)
test-launch: PATHS = tests/launch
test-operators: PATHS = tests/operators
test-samplers: PATHS = tests/samplers tests/training
test-posteriors: PATHS = tests/posteriors tests/potentials
test-others: PATHS = $(filter-out $(NAMED:%=tests/%/),$(dir $(wildcard tests/*/test_*.py)))
$(TESTS):
	$(BIN)/python -m pytest $(sort $(PATHS))

soak: $(VENV)/test.stamp  ## kill, damage, starve and double runs many times over, in seven minutes
	$(BIN)/python tests/soak.py

docs: $(NOTEBOOKS)  ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The notebooks of the site are run once, and again when they change.
.cache/notebooks/%.ipynb: colabs/%.ipynb | $(VENV)/docs.stamp
	@mkdir -p $(@D)
	$(BIN)/jupyter execute $< --output=../.cache/notebooks/$*

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/test.stamp
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright --pythonpath $(BIN)/python

constraints: $(VENV)/uv.stamp  ## resolve setup.cfg anew into constraints.txt
	$(BIN)/python -m uv pip compile -q --upgrade --universal --python-version 3.11 --annotation-style line \
		--custom-compile-command "make constraints" setup.cfg --extra test --extra colab -o constraints.txt

wheel: $(VENV)/test.stamp  ## build the wheel into dist/
	rm -rf build
	$(BIN)/python -m build --wheel

clean:  ## remove the environment, caches and builds
	rm -rf $(VENV) .cache .pytest_cache .ruff_cache build dist site *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/uv.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
		f"pgm_jax needs Python 3.11 or newer; $(PYTHON) is {sys.version.split()[0]}: try make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt uv || echo "uv is not to be had; pip will do"
	@touch $@

$(VENV)/library.stamp: setup.cfg constraints.txt | $(VENV)/uv.stamp
	$(call install,$(LIBRARY))
	@touch $@

$(VENV)/test.stamp: setup.cfg constraints.txt | $(VENV)/uv.stamp
	$(call install,.[test])
	@touch $(VENV)/library.stamp $(VENV)/docs.stamp $@

$(VENV)/docs.stamp: setup.cfg constraints.txt | $(VENV)/uv.stamp
	$(call install,.[docs])
	@touch $(VENV)/library.stamp $@
