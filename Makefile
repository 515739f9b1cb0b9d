# SPDX-License-Identifier: Apache-2.0
# Every target first brings .venv up to date (tools/setup_env.py); if nothing has changed, that takes a moment.

SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help setup wheels demo dataset evaluate test test-all lint bench docs docs-links pictures colcon clean

PYTHON := .venv/bin/python
# A process per core runs the tests, up to four; each claims ROS domains of its own. Groups of tests stay together
# (test/conftest.py): a file, because its tests share fixtures, or all that run the whole system in real time,
# because two of these at once would be late. One torch thread per process: more would wait for one another.
PYTEST := OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
# Activates .venv and adds it to the ament index.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export AMENT_PREFIX_PATH := $(if $(AMENT_PREFIX_PATH),$(AMENT_PREFIX_PATH):)$(CURDIR)/.venv
ifdef ROS_DISTRO
# With an installed ROS, the libraries of .venv must be on the library path. The ROS wheels do this themselves.
export LD_LIBRARY_PATH := $(CURDIR)/.venv/lib:$(LD_LIBRARY_PATH)
endif

help:
	@echo "make demo      run simulated robot and policy with several instructions; results in out/demo/"
	@echo "make dataset   record scripted demonstrations through ROS, N=10 of each task, into out/dataset_sim"
	@echo "make evaluate  measure the shipped policy's success rate per task, on the nodes; EPISODES=10 of each"
	@echo "make test      run the tests (a few minutes)"
	@echo "make test-all  run all tests, including the slow ones"
	@echo "make lint      run ruff, import-linter and pyright"
	@echo "make bench     run the benchmarks; results in out/bench/*.json"
	@echo "make docs      build the documentation as a site, from out/docs/index.html on"
	@echo "make docs-links  check the links to other sites, which needs the network"
	@echo "make pictures  draw the pictures of the documentation anew; ARGS=NAME draws one"
	@echo "make colcon    build this checkout with colcon, copied and symlinked, and check the installation"
	@echo "make setup     only create or update .venv; PROFILE=robot installs what the computer beside a robot needs"
	@echo "make wheels    collect the wheels for a set-up without network, PROFILE=robot into FOLDER=out/wheels"
	@echo "make clean     remove everything that the other targets created, except .venv"

# PROFILE counts only if it was given to make: the environment may have one of another program.
profiles := $(if $(filter command line,$(origin PROFILE)),--profile $(PROFILE))

setup:
	@python=$$(tools/find_python.sh) && "$$python" tools/setup_env.py $(profiles)

wheels:
	@python=$$(tools/find_python.sh) && "$$python" tools/setup_env.py $(profiles) --wheels $(or $(FOLDER),out/wheels)

demo: setup
	@$(PYTHON) -m dit_policy_ros.cli.main demo $(ARGS)

dataset: setup
	@$(PYTHON) -m dit_policy_ros.cli.main dataset --output out/dataset_sim --demonstrations $(or $(N),10) $(ARGS)

evaluate: setup
	@$(PYTHON) -m dit_policy_ros.cli.main evaluate --episodes $(or $(EPISODES),10) $(ARGS)

test: setup
	@$(PYTEST) -m "not slow" $(ARGS)

test-all: setup
	@$(PYTEST) $(ARGS)

lint: setup
	ruff check .
	ruff format --check .
	lint-imports --no-cache
	pyright --warnings

bench: setup
	@mkdir -p out/bench
	@for each in bench/bench_*.py; do \
	  name=$$(basename $$each .py); echo "== $$name"; \
	  PYTHONPATH=$(CURDIR) $(PYTHON) $$each --output out/bench/$${name#bench_}.json $(ARGS) || exit 1; \
	done

# A warning is an error, such as a link to nowhere. -E: read all pages, so that none is passed over.
SPHINX := $(PYTHON) -m sphinx -E -q -d out/docs_cache

docs: setup
	@$(SPHINX) -W --keep-going -b html docs out/docs
	@echo "out/docs/index.html"

docs-links: setup
	@$(SPHINX) -b linkcheck docs out/docs_links

pictures: setup
	@$(PYTHON) -m tools.pictures $(ARGS)

colcon: setup
	@$(PYTHON) tools/colcon_check.py

clean:
	rm -rf build install log out *.egg-info .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
