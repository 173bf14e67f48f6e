# Every target does its own set-up: `make demo` and `make test` work in a fresh clone.
PYTHON ?= python3
CONSTRAINTS ?= requirements/constraints.txt
PART ?=
VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.complete
DOCS := .venv-docs
REQUIREMENTS := $(addprefix requirements/,runtime.txt mminstall.txt det.txt seg.txt cls.txt optional.txt tests.txt)

.PHONY: help setup demo test test-slow benchmark docs lint format clean
.DEFAULT_GOAL := help

help:  ## show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(STAMP)  ## make or repair .venv (2 to 5 minutes, 5.5 GB, no compiler)

# The stamp is written last: a set-up that broke off is taken up again, and a change of requirements repeats it.
$(STAMP): pyproject.toml $(REQUIREMENTS) requirements/panoptic.txt requirements/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "daga_mm needs Python 3.11 or newer, $(PYTHON) is %s; try: make $(MAKECMDGOALS) PYTHON=python3.11" % sys.version.split()[0])'
	@$(RUN) -c 'import pip' 2>/dev/null || { rm -rf $(VENV); $(PYTHON) -m venv $(VENV); }
	@echo 'Installing into $(VENV): PyTorch and OpenMMLab, 5.5 GB, a few minutes. Nothing is compiled.'
	@$(RUN) -m pip install --quiet --disable-pip-version-check $(addprefix -r ,$(REQUIREMENTS)) $(addprefix -c ,$(CONSTRAINTS))
	@$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps -r requirements/panoptic.txt
	@$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(RUN) -W ignore -c 'import setuptools; setuptools.setup()' --quiet egg_info  # by which mim finds a clone on PYTHONPATH
	@touch $(STAMP)

demo: $(STAMP)  ## depth on synthetic scenes: frozen, DAGA and full fine-tuning; one table and one picture
	@$(RUN) demo/demo.py

test: $(STAMP)  ## the test suite, but for what takes long
	@OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2 --dist worksteal  # a thread each: more would wait for one another

test-slow: $(STAMP)  ## kills, launchers, mim, large trunks; with DAGA_MM_SAMPLES=/path, real images to learn
	@OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2 --dist load -m slow

benchmark: $(STAMP)  ## adapters on real data sets, benchmarks/README.md; a night, PART=camvid for a part
	@$(RUN) -W ignore benchmarks/run.py $(PART)

# An environment of its own: the site is made from sources, without PyTorch, and `make setup` needs none of its tools.
$(DOCS)/.complete: requirements/docs.txt requirements/constraints.txt
	@$(DOCS)/bin/python -c 'import pip' 2>/dev/null || { rm -rf $(DOCS); $(PYTHON) -m venv $(DOCS); }
	@$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements/docs.txt $(addprefix -c ,$(CONSTRAINTS))
	@touch $@

docs: $(DOCS)/.complete  ## the documentation as a site: site/index.html (half a minute, 200 MB)
	@NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/python -m mkdocs build --quiet --strict  # which silences Material's advertisement
	@echo 'site/index.html'

lint: $(STAMP)  ## ruff and mypy
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy

format: $(STAMP)  ## let ruff put the code in order
	@$(RUN) -m ruff check --fix .
	@$(RUN) -m ruff format .

clean:  ## remove what runs and set-up left behind, .venv included
	rm -rf $(VENV) $(DOCS) site build dist work_dirs demo/output demo/data .pytest_cache .ruff_cache .mypy_cache *.egg-info
