# Every target does its own set-up: `make demo` and `make test` work in a fresh clone.
PYTHON ?= python3
CONSTRAINTS ?= requirements/constraints.txt
VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.complete
REQUIREMENTS := $(addprefix requirements/,runtime.txt mminstall.txt det.txt seg.txt cls.txt tests.txt)

.PHONY: help setup demo test test-slow lint format clean
.DEFAULT_GOAL := help

help:  ## show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(STAMP)  ## make or repair .venv (2 to 5 minutes, 5.5 GB, no compiler)

# The stamp is written last: a set-up that broke off is taken up again, and a change of requirements repeats it.
$(STAMP): pyproject.toml $(REQUIREMENTS) requirements/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "daga_mm needs Python 3.11 or newer, $(PYTHON) is %s; try: make $(MAKECMDGOALS) PYTHON=python3.11" % sys.version.split()[0])'
	@$(RUN) -c 'import pip' 2>/dev/null || { rm -rf $(VENV); $(PYTHON) -m venv $(VENV); }
	@echo 'Installing into $(VENV): PyTorch and OpenMMLab, 5.5 GB, a few minutes. Nothing is compiled.'
	@$(RUN) -m pip install --quiet --disable-pip-version-check $(addprefix -r ,$(REQUIREMENTS)) $(addprefix -c ,$(CONSTRAINTS))
	@$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

demo: $(STAMP)  ## train frozen and DAGA on synthetic scenes; one table and one picture
	@$(RUN) demo/demo.py

test: $(STAMP)  ## the whole test suite
	@OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2 --dist worksteal  # a thread each: more would wait for one another

test-slow: $(STAMP)  ## learn a few real images with the configs; needs the samples, DAGA_MM_SAMPLES=/path
	@OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2 --dist load -m slow

lint: $(STAMP)  ## ruff and mypy
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy

format: $(STAMP)  ## let ruff put the code in order
	@$(RUN) -m ruff check --fix .
	@$(RUN) -m ruff format .

clean:  ## remove what runs and set-up left behind, .venv included
	rm -rf $(VENV) build dist work_dirs demo/output demo/data .pytest_cache .ruff_cache .mypy_cache *.egg-info
