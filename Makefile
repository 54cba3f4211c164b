# The commands of this project; `make help` lists them. Paths are relative: the folder's own path may hold spaces.
PYTHON ?= python3
PY := .venv/bin/python

.PHONY: help demo test format lint types unit bench-smoke bench-capacity wheel test-kill test-peers quality clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' Makefile

demo: .venv/.core ## place one real call through the gateway and check what happened
	@$(PY) examples/first_call.py

test: lint types unit bench-smoke wheel ## everything CI runs

format: .venv/.dev ## format and mend what can be mended by itself
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

lint: .venv/.dev ## formatting and lint
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .

types: .venv/.dev ## strict type check
	@$(PY) -m mypy

unit: .venv/.dev ## the tests
	@$(PY) -m pytest -q -n auto --maxprocesses 4 --dist loadfile

bench-smoke: .venv/.dev ## each benchmark for a moment, to see that it runs
	@$(PY) -m benchmarks --smoke

wheel: .venv/.dev ## build the wheel and test it outside the tree
	@$(PY) tests/wheel.py

bench-capacity: .venv/.dev ## calls a core holds, and what each costs, beside bare servers and Pipecat (half an hour)
	@$(PY) -m benchmarks.bench_capacity

quality: .venv/.quality ## speech through each codec and through loss, scored by PESQ (wants a C compiler and espeak-ng)
	@$(PY) -m benchmarks.quality

test-kill: .venv/.dev ## kill a gateway in the middle of twenty calls, ten times, and see what is lost (two minutes)
	@$(PY) -m tests.kill_recorder

test-peers: .venv/.core ## programs that nobody here wrote against the simulator, each in an environment of its own
	@$(PY) tests/peers/run.py

clean: ## remove what the other commands made
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Python 3.11 or newer is needed; name one: make PYTHON=/path/to/python3.13 ...'; exit 1; }
	@echo 'setting up .venv (once; takes a minute)'
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo 'The venv module is missing; on Debian: apt-get install python3-venv'; exit 1; }

.venv/.core: pyproject.toml | .venv/bin/python
	@$(PY) -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

.venv/.dev: pyproject.toml | .venv/bin/python
	@$(PY) -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ .venv/.core

.venv/.quality: pyproject.toml | .venv/bin/python
	@$(PY) -m pip install --quiet --disable-pip-version-check --editable '.[codecs,quality]'
	@touch $@
