# Needs Python 3.11 or newer, make and a C compiler. Everything else is put into .venv, which `make clean` removes.

PYTHON  ?= python3
VENV    := .venv
WHEEL   := $(VENV)/wheel
DIST    := $(VENV)/dist
PIP     := -m pip --disable-pip-version-check --quiet
# Keep in step with the extra `demo` of pyproject.toml (a test compares them).
DEMO_DATA := pvanalytics==0.2.2
# A C compiler with musl for big-endian machines; the other cross compilers are packages of the system.
CROSS_CC := ziglang>=0.13,<1

SOURCES := $(sort $(shell find edge_sdk -type f -not -name '*.pyc')) pyproject.toml README.md LICENSE
PYTEST  := -m pytest --durations=10 -rs
# The tests meet the installed wheel and nothing else: no folder of this tree on sys.path, in children neither.
BESIDE  := PYTHONSAFEPATH=1 PYTHONPATH= EDGE_TEST_WHEEL=1

.DELETE_ON_ERROR:
.PHONY: help demo test test-all test-faults test-cross test-arm test-fuzz check bench docs clean part-core part-shell FORCE

help:  ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.demo  ## Install, then run the whole line on measured data with loopback HTTP
	$(VENV)/bin/edge-sdk demo

test: check $(WHEEL)/.installed  ## Static checks, then all tests (but the slow ones) on the built wheel
	@$(MAKE) --no-print-directory --output-sync=target -j2 part-core part-shell

# Two lanes for two cores that take about as long: what is pure, measured for coverage, and then what needs little more
# than files; beside them what runs processes, sockets and disks.
CORE_TESTS := tests/unit/core tests/property tests/vectors tests/privacy
FILE_TESTS := tests/unit tests/cli

part-core:
	$(BESIDE) $(WHEEL)/bin/python -m coverage run $(PYTEST) $(SLOW) $(CORE_TESTS)
	$(WHEEL)/bin/python -m coverage report --include='*/edge_sdk/core/*' --fail-under=100
	$(BESIDE) $(WHEEL)/bin/python $(PYTEST) $(SLOW) $(FILE_TESTS) $(CORE_TESTS:%=--ignore=%)

part-shell:
	$(BESIDE) $(WHEEL)/bin/python $(PYTEST) $(SLOW) tests $(CORE_TESTS:%=--ignore=%) $(FILE_TESTS:%=--ignore=%)

test-all: check $(WHEEL)/.installed  ## The same with the slow tests; a skipped test is a failure
	@EDGE_TEST_ALL=1 $(MAKE) --no-print-directory --output-sync=target -j2 SLOW='-m "slow or not slow"' part-core part-shell

test-faults: $(WHEEL)/.installed  ## Every kill and power cut, on all cores, and a table of what they came to
	EDGE_TEST_ALL=1 $(BESIDE) $(WHEEL)/bin/python $(PYTEST) --quiet -m "slow or not slow" tests/fault

test-cross: $(WHEEL)/.installed  ## The C shim on other machines under qemu-user, against the agent of this one
	$(WHEEL)/bin/python $(PIP) install '$(CROSS_CC)'
	$(BESIDE) $(WHEEL)/bin/python $(PYTEST) -o faulthandler_timeout=0 tests/shim/cross.py

test-arm: $(WHEEL)/.installed  ## Core, vectors and a line from end to end in Python of emulated arm64 and armhf
	$(WHEEL)/bin/python tests/arm.py $(VENV)/arm $(DIST)/*.whl $(BOARDS)

test-fuzz: $(WHEEL)/.installed  ## The shim's downlink parser: 10^7 inputs of libFuzzer and as many of a driver of its own
	EDGE_TEST_ALL=1 $(BESIDE) $(WHEEL)/bin/python $(PYTEST) -rP -m "slow or not slow" tests/shim/test_fuzz.py

check: $(VENV)/.dev  ## Lint, types, import contracts, architecture: under a minute, no wheel
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-logo --no-cache
	$(VENV)/bin/python -m pytest --quiet tests/architecture

bench: $(VENV)/.dev  ## Print speed and bytes on this machine
	$(VENV)/bin/python -m benchmarks
	$(VENV)/bin/python -m benchmarks.floor

docs: $(VENV)/.dev  ## Write the documents that are made from the package (docs/policies.md)
	$(VENV)/bin/python -m tests.docs.policies_page

clean:  ## Remove everything that was made
	rm -rf $(VENV) .demo .coverage .hypothesis .mypy_cache .ruff_cache .import_linter_cache build dist

# ------------------------------------------------------------------- environments (each stamp is made once)

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "edge-sdk needs Python 3.11 or newer, and '$(PYTHON)' is not. Name another one: make PYTHON=python3.12" >&2; \
	    exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	    echo "'$(PYTHON) -m venv' failed. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/.made
	$(VENV)/bin/python $(PIP) install --editable '.[dev]'
	@touch $@

$(VENV)/.demo: pyproject.toml | $(VENV)/.made
	$(VENV)/bin/python $(PIP) install --editable .
	$(VENV)/bin/python $(PIP) install --no-deps $(DEMO_DATA)
	@touch $@

# Changes only when a file comes or goes, so that a deleted module leaves the wheel too.
$(VENV)/sources.txt: FORCE | $(VENV)/.made
	@echo '$(SOURCES)' | cmp -s - $@ || echo '$(SOURCES)' > $@

$(DIST)/.built: $(SOURCES) $(VENV)/sources.txt $(VENV)/.dev
	@rm -rf $(DIST)
	$(VENV)/bin/python $(PIP) wheel --no-deps --no-build-isolation --wheel-dir $(DIST) .
	@touch $@

$(WHEEL)/.deps: pyproject.toml | $(DIST)/.built
	@rm -rf $(WHEEL)
	@$(VENV)/bin/python -m venv $(WHEEL)
	$(WHEEL)/bin/python $(PIP) install "$$(echo $(DIST)/*.whl)[test]"
	$(WHEEL)/bin/python $(PIP) install --no-deps $(DEMO_DATA)
	@touch $@

$(WHEEL)/.installed: $(DIST)/.built $(WHEEL)/.deps
	$(WHEEL)/bin/python $(PIP) install --no-deps --force-reinstall $(DIST)/*.whl
	@touch $@
