# make setup | demo | test | lint | types | bench | pretrain | clean
# PYTHON names the interpreter that .venv is made from; EPISODES and TUNING shape the demo.
PYTHON ?= python3
EPISODES ?= 64
TUNING ?= examples/traders.yaml
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup demo test lint types bench pretrain clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "moot needs Python 3.11 or newer: make setup PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

demo: setup
	$(BIN)/moot simulate deal_or_no_deal --episodes $(EPISODES) --transcripts 2
	$(BIN)/moot finetune $(TUNING)

test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/pyright

bench: setup
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python benchmarks/scripted.py
	$(BIN)/python benchmarks/worlds.py
	$(BIN)/python benchmarks/scoring.py
	$(BIN)/python benchmarks/language_model.py
	$(BIN)/python benchmarks/decoding.py
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/aggregation.py

pretrain: setup
	$(BIN)/moot pretrain models/nano

clean:
	rm -rf $(VENV) build dist *.egg-info
