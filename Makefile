# SPDX-License-Identifier: Apache-2.0
# Every target first completes the environment in .venv (tools/setup_env.py); a second run does that in a moment.

SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help setup demo dataset evaluate test test-all lint bench colcon clean

PYTHON := .venv/bin/python
# A process per core runs the tests, up to four; each claims ROS domains of its own. A file's tests stay together,
# because they share fixtures.
PARALLEL := -n auto --maxprocesses 4 --dist loadfile
# .venv activated, and its share/ in the ament index
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export AMENT_PREFIX_PATH := $(if $(AMENT_PREFIX_PATH),$(AMENT_PREFIX_PATH):)$(CURDIR)/.venv
ifdef ROS_DISTRO
# the wheels' Python arranges this by itself, an installed ROS expects it from a sourced workspace
export LD_LIBRARY_PATH := $(CURDIR)/.venv/lib:$(LD_LIBRARY_PATH)
endif

help:
	@echo "make demo      simulated robot, policy and several instructions, end to end; results in out/demo/"
	@echo "make dataset   scripted demonstrations, recorded through ROS; N=10 of each task, out/dataset_sim"
	@echo "make evaluate  success by task of the shipped policy, by the real nodes; EPISODES=50 of each task"
	@echo "make test      the tests (a few minutes)"
	@echo "make test-all  the tests and the long ones"
	@echo "make lint      ruff, import-linter, pyright"
	@echo "make bench     the benchmarks; results in out/bench/*.json"
	@echo "make colcon    a real colcon build of this checkout, copied and symlinked, and what it installs"
	@echo "make setup     only make or update .venv"
	@echo "make clean     remove what the other targets made, except .venv"

setup:
	@python=$$(tools/find_python.sh) && "$$python" tools/setup_env.py

demo: setup
	@$(PYTHON) -m dit_policy_ros.cli.main demo $(ARGS)

dataset: setup
	@$(PYTHON) -m dit_policy_ros.cli.main dataset --output out/dataset_sim --demonstrations $(or $(N),10) $(ARGS)

evaluate: setup
	@$(PYTHON) -m dit_policy_ros.cli.main evaluate --episodes $(or $(EPISODES),10) $(ARGS)

test: setup
	@$(PYTHON) -m pytest -m "not slow" $(PARALLEL) $(ARGS)

test-all: setup
	@$(PYTHON) -m pytest $(PARALLEL) $(ARGS)

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

colcon: setup
	@$(PYTHON) tools/colcon_check.py

clean:
	rm -rf build install log out *.egg-info .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
