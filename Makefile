PYTHON ?= python3
VENV = .venv
BIN = $(VENV)/bin

.PHONY: run test lint bench

run: $(VENV)/ready  ## train a CNN on the whole training set behind every update
	$(BIN)/python -m recipes train cifar10_cnn --data digits

test: $(VENV)/ready-test  ## all tests
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(VENV)/ready-test  ## style
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

bench: $(VENV)/ready-bench  ## cost of accumulation: time of a micro-batch, memory of an update
	$(BIN)/python -m benchmarks.accumulation
	$(BIN)/python -m benchmarks.memory

$(VENV)/ready: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/ready-%: $(VENV)/ready
	$(BIN)/python -m pip install --quiet --editable .[$*]
	touch $@
