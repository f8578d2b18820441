# `make demo` and `make test` set up what they need in .venv and run; nothing but Python and make has to be there
# before. Without a C compiler, the tests of NVIDIA GPUs are skipped. PYTHON chooses the interpreter:
# make test PYTHON=python3.12

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
FLEET ?= .venv-fleet
# Python compiles a module when it is first imported, and keeps that. To compile all of every package takes longer
# than all else, and to compile this package anew in each of the processes that tests start takes minutes.
unexport PYTHONDONTWRITEBYTECODE
INSTALL := -m pip --disable-pip-version-check install --quiet --no-compile
PIP := $(BIN)/python $(INSTALL) --constraint constraints.txt
# Many tests start servers and send signals, and a busy machine can be too slow for one. If tests fail (1), and
# nothing worse happened, they run once more, one at a time, and all must pass.
AGAIN := --last-failed --last-failed-no-failures none --maxfail 1
# The figure is of both runs together: what serves and what plugs into frameworks is run by the integrations' tests.
COVERING := --cov --cov-report= --cov-fail-under 0
# Files of few tests take longest here, and pytest-xdist would begin with those of many.
BY_FILE := --numprocesses 2 --dist loadfile --no-loadscope-reorder

.PHONY: help demo test test-integrations coverage check jetson-selftest docs dist bench clean

help:
	@echo "make demo   choose a mode on a simulated board, from nothing to an answer"
	@echo "make test   run the tests"
	@echo "make test-integrations  run the tests with Lightning, transformers, Keras and the others"
	@echo "make coverage  run the tests and show which lines they miss"
	@echo "make check  lint, types, layers, generated pages, strict documentation"
	@echo "make jetson-selftest  check a Jetson, and on consent set and restore a few modes"
	@echo "make bench  measure accuracy and speed, and write benchmarks/results"
	@echo "make docs   build the documentation into site/"
	@echo "make dist   build the wheel and the source archive into dist/"

$(VENV)/.python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(INSTALL) 'pip>=25.1'  # reads dependency groups
	@touch $@

$(VENV)/.demo: $(VENV)/.python pyproject.toml constraints.txt
	@echo "installing PowerTrain and the demo's needs into $(VENV) (once)"
	$(PIP) --editable '.[report]'
	@touch $@

$(VENV)/.test: $(VENV)/.demo
	@echo "installing what the tests need into $(VENV) (once)"
	$(PIP) --group test
	@touch $@

$(VENV)/.integrations: $(VENV)/.test
	@echo "installing the packages that PowerTrain integrates with into $(VENV) (once)"
	$(PIP) --group integrations
	@touch $@

$(FLEET)/.fleet: pyproject.toml constraints-fleet.txt
	@echo "installing Ray and Flower into $(FLEET) (once)"
	$(PYTHON) -m venv $(FLEET)
	$(FLEET)/bin/python $(INSTALL) 'pip>=25.1'
	$(FLEET)/bin/python $(INSTALL) --constraint constraints-fleet.txt --group fleet --editable .
	@touch $@

$(VENV)/.coverage: $(VENV)/.integrations
	@echo "installing what measures the coverage into $(VENV) (once)"
	$(PIP) --group coverage
	@touch $@

$(VENV)/.dist: $(VENV)/.python constraints.txt
	@echo "installing what builds the wheel into $(VENV) (once)"
	$(PIP) --group dist
	@touch $@

$(VENV)/.dev: $(VENV)/.test
	@echo "installing the development tools into $(VENV) (once)"
	$(PIP) --group check --group docs
	@touch $@

$(VENV)/.peers: $(VENV)/.dev
	@echo "installing the peers that the benchmarks compare with (once)"
	$(PIP) --group peers
	@touch $@

demo: $(VENV)/.demo
	$(BIN)/powertrain demo --out demo-output

test: $(VENV)/.test
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal -m "not integration" || \
		{ test $$? -eq 1 && $(BIN)/python -m pytest $(AGAIN) -m "not integration"; }

test-integrations: $(VENV)/.integrations $(FLEET)/.fleet
	$(BIN)/python -m pytest $(BY_FILE) --ignore tests/integrations/fleet tests/integrations || \
		{ test $$? -eq 1 && $(BIN)/python -m pytest $(AGAIN) --ignore tests/integrations/fleet tests/integrations; }
	$(FLEET)/bin/python -m pytest --numprocesses 2 --dist loadfile tests/integrations/fleet || \
		{ test $$? -eq 1 && $(FLEET)/bin/python -m pytest $(AGAIN) tests/integrations/fleet; }

coverage: $(VENV)/.coverage
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal $(COVERING) -m "not integration"
	$(BIN)/python -m pytest $(BY_FILE) $(COVERING) --cov-append --ignore tests/integrations/fleet tests/integrations
	$(BIN)/coverage report --skip-covered --show-missing

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(BIN)/python docs/generate.py --check
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict  # --quiet would hide warnings from --strict too

jetson-selftest: $(VENV)/.demo
	$(BIN)/powertrain selftest --device jetson --write --report jetson-selftest.md

docs: $(VENV)/.dev
	$(BIN)/python docs/generate.py
	$(BIN)/mkdocs build --strict

dist: $(VENV)/.dist
	rm -rf dist
	$(BIN)/python -m build

bench: $(VENV)/.peers
	$(BIN)/python benchmarks/run_all.py

clean:
	rm -rf $(VENV) $(FLEET) dist site demo-output .pytest_cache .ruff_cache .hypothesis
