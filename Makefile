# SPDX-License-Identifier: Apache-2.0
# Every target first brings .venv up to date (tools/setup_env.py); if nothing has changed, that takes a moment.

SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help setup demo dataset evaluate test test-all lint bench colcon clean

PYTHON := .venv/bin/python
# A process per core runs the tests, up to four; each claims ROS domains of its own. A file's tests stay together,
# because they share fixtures. One torch thread per process: more would wait for one another.
PYTEST := OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n auto --maxprocesses 4 --dist loadfile
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
	@echo "make colcon    build this checkout with colcon, copied and symlinked, and check the installation"
	@echo "make setup     only create or update .venv"
	@echo "make clean     remove everything that the other targets created, except .venv"

setup:
	@python=$$(tools/find_python.sh) && "$$python" tools/setup_env.py

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

colcon: setup
	@$(PYTHON) tools/colcon_check.py

clean:
	rm -rf build install log out *.egg-info .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
