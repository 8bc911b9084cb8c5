# make demo    train a quantum policy with MAML, evaluate it, draw its adaptation curve
# make test    everything that must hold before a change goes in
# make test-all  the same with the tests that take long
# make check   the same without the tests: lint, format, types
# make native  the native kernel in this tree, after a change of its C++
# make wheel   a wheel in dist/ with the native kernel, for this system and any Python
# make clean   remove .venv and caches; runs/ stays

# Any Python from 3.11 on: make demo PYTHON=python3.12
PYTHON ?= python3.11
# Where torch comes from; empty means pip's own settings. Its CPU build, 200 MB instead of several GB on Linux:
#   make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
STAMP := .venv/.installed
NATIVE := qrl/simulator/native
# Tests to repeat on the fused executor. The others are not even imported, which takes longer than these tests.
EXACTNESS = -m "$(1)" $(shell grep -rl --include="*.py" "mark.exactness" tests)

.PHONY: demo test test-all check native wheel clean
.DELETE_ON_ERROR:

demo: $(STAMP)
	$(BIN)/python run.py train --env navigation --threads 1 --out runs/demo --overwrite

test: check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not slow"
	QRL_ENGINE=fused OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 $(call EXACTNESS,exactness and not slow)

test-all: check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2
	QRL_ENGINE=fused OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 $(call EXACTNESS,exactness)

# CMake of the environment, or else of the system.
native:
	PATH="$(CURDIR)/$(BIN):$$PATH" cmake -S $(NATIVE) -B build/native -DQRL_IN_PLACE=ON
	PATH="$(CURDIR)/$(BIN):$$PATH" cmake --build build/native

wheel: $(STAMP)
	$(PIP) wheel --no-deps --wheel-dir dist .

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# torch first and alone: whatever else needs it then finds it there, and cannot pull in another build.
$(STAMP): pyproject.toml constraints.txt $(wildcard $(NATIVE)/*.cpp $(NATIVE)/*.h) $(NATIVE)/CMakeLists.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) install -c constraints.txt torch==2.13.0 $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
	$(PIP) install -c constraints.txt -e ".[dev]"
	touch $@

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache build dist $(NATIVE)/qrl_native.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
