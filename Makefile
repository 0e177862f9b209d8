# The two commands of the README, and what developers use. Everything lives in .venv, which is reused.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SOURCES := setup.py pyproject.toml $(wildcard cpu_kernels/*.cc cpu_kernels/*.h cpu_kernels/core/* cpu_kernels/*.py aicore_kernels/*.cc)
export GLOG_v ?= 3

.PHONY: demo test install matrix bench ascend-report lint format clean

demo: $(STAMP)
	$(BIN)/python -m ms_scatter_pa demo

test: $(STAMP) lint
	$(BIN)/python -m pytest -n 2 --dist loadfile tests

install: $(STAMP)

$(STAMP): $(SOURCES)
	@command -v g++ >/dev/null 2>&1 || command -v "$(CXX)" >/dev/null 2>&1 || \
		{ echo "ms_scatter_pa needs a C++17 compiler: install g++ and run make again."; exit 1; }
	@test -x $(BIN)/python || { echo "making the virtual environment $(VENV)"; $(PYTHON) -m venv $(VENV); }
	$(BIN)/python tools/install.py
	@touch $@

# The contract and mode tests on the oldest MindSpore supported, in an environment of its own.
matrix: $(STAMP)
	$(BIN)/python tools/matrix.py

bench: $(STAMP)
	$(BIN)/python -m ms_scatter_pa bench

# On a machine with an NPU, after build-ascend and its export: runs tests/ascend and leaves ascend-report.txt.
ascend-report: $(STAMP)
	$(BIN)/python -m ms_scatter_pa ascend-report

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tools/check_types.py
	$(BIN)/python tools/check_format.py

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python tools/check_format.py --fix

clean:
	rm -rf build dist *.egg-info ms_scatter_pa/_lib
