# Needs Python 3.11 or newer, make and a C compiler. Everything else is put into .venv, which `make clean` removes.

PYTHON  ?= python3
VENV    := .venv
WHEEL   := $(VENV)/wheel
DIST    := $(VENV)/dist
TOOLS   := $(VENV)/tools
INTEROP := $(VENV)/interop
LOCKS   := tests/requirements
PIP     := -m pip --disable-pip-version-check --quiet
# Keep in step with the extra `demo` of pyproject.toml (a test compares them).
DEMO_DATA := pvanalytics==0.2.2
# A C compiler with musl for big-endian machines; the other cross compilers are packages of the system.
CROSS_CC := ziglang>=0.13,<1
# Fuzzing from inside Python; has wheels for some machines only.
ATHERIS := atheris>=2.3
FUZZ_S  := 600
# What a gateway might use instead, for bench-peers; of the ThingsBoard gateway its storage alone is run.
PEERS := opentelemetry-sdk==1.45.2 opentelemetry-exporter-otlp-proto-http==1.45.2 glean-sdk==71.0.0 paho-mqtt==2.2.0 \
         simplejson==4.3.0 pybase64==1.5.1
PEER_ALONE := thingsboard-gateway==3.8.5

SOURCES := $(sort $(shell find edge_sdk -type f -not -name '*.pyc')) pyproject.toml README.md LICENSE
PYTEST  := -m pytest --durations=10 -rs
# The tests meet the installed wheel and nothing else: no folder of this tree on sys.path, in children neither.
BESIDE  := PYTHONSAFEPATH=1 PYTHONPATH= EDGE_TEST_WHEEL=1

.DELETE_ON_ERROR:
.PHONY: help demo test test-all test-faults test-cross test-arm test-fuzz test-mutation test-interop check bench bench-check bench-peers docs lock audit sbom clean
.PHONY: part-core part-process part-shell node FORCE

help:  ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.demo  ## Install, then run the whole line on measured data with loopback HTTP
	$(VENV)/bin/edge-sdk demo

test:  ## Static checks, then all tests (but the slow ones) on the built wheel
	@$(MAKE) --no-print-directory --output-sync=target -j2 check $(WHEEL)/.installed
	@$(MAKE) --no-print-directory --output-sync=target -j3 $(PARTS)

# Three lanes for two cores, since a third of the time a lane waits for an event: what is pure, measured for coverage,
# and then a part of the rest; what others start as a process; beside them what is left. What reads only sources has run.
PARTS := part-core part-process part-shell
CORE_TESTS := tests/unit/core tests/property tests/vectors tests/privacy
MORE_TESTS := tests/unit tests/docs tests/profiles
PROCESS_TESTS := tests/agent tests/shim tests/cli tests/collector tests/examples tests/demo

part-core:
	$(BESIDE) $(WHEEL)/bin/python -m coverage run $(PYTEST) $(SLOW) $(CORE_TESTS)
	$(WHEEL)/bin/python -m coverage report --include='*/edge_sdk/core/*' --fail-under=100
	$(BESIDE) $(WHEEL)/bin/python $(PYTEST) $(SLOW) $(MORE_TESTS) $(CORE_TESTS:%=--ignore=%)

part-process:
	$(BESIDE) $(WHEEL)/bin/python $(PYTEST) $(SLOW) $(PROCESS_TESTS)

part-shell:
	$(BESIDE) $(WHEEL)/bin/python $(PYTEST) $(SLOW) tests $(patsubst %,--ignore=%,$(CORE_TESTS) $(MORE_TESTS) $(PROCESS_TESTS) tests/architecture)

test-all:  ## The same with the slow tests; a skipped test is a failure
	@$(MAKE) --no-print-directory --output-sync=target -j2 check $(WHEEL)/.installed
	@EDGE_TEST_ALL=1 $(MAKE) --no-print-directory --output-sync=target -j3 SLOW='-m "slow or not slow"' $(PARTS)

test-faults: $(WHEEL)/.installed  ## Kills, power cuts and media that refuse, on all cores, and a table of it; FULL=1: all of them
	EDGE_TEST_ALL=1 $(BESIDE) $(WHEEL)/bin/python $(PYTEST) --quiet -m "slow or not slow" tests/fault

test-cross: $(WHEEL)/.installed  ## The C shim on other machines under qemu-user, against the agent of this one
	$(WHEEL)/bin/python $(PIP) install '$(CROSS_CC)'
	$(BESIDE) $(WHEEL)/bin/python $(PYTEST) -o faulthandler_timeout=0 tests/shim/cross.py

test-arm: $(WHEEL)/.installed  ## Core, vectors, and lines from end to end in Python of emulated arm64 and armhf (BOARDS=armhf: one)
	$(WHEEL)/bin/python tests/arm.py $(VENV)/arm $(DIST)/*.whl $(BOARDS)

test-fuzz: $(WHEEL)/.installed  ## Made up: all that comes from outside (atheris, FUZZ_S seconds), and what the agent sends the shim (10^7)
	$(WHEEL)/bin/python $(PIP) install '$(ATHERIS)'
	PYTHONSAFEPATH=1 PYTHONPATH=$(CURDIR) $(WHEEL)/bin/python tests/fuzz/target.py -max_total_time=$$(($(FUZZ_S) * 7 / 10))
	$(BESIDE) $(WHEEL)/bin/python tests/agent/fuzz.py -max_total_time=$$(($(FUZZ_S) * 3 / 10))
	EDGE_TEST_ALL=1 $(BESIDE) $(WHEEL)/bin/python $(PYTEST) -rP -o faulthandler_timeout=0 -m "slow or not slow" tests/shim/test_fuzz.py

# The other implementations; nothing of them is installed beside this one.
INTEROP_TESTS := $(addprefix tests/interop/,js_reader.py cose_peer.py published.py second_cddl.py)

test-mutation: $(WHEEL)/.installed $(TOOLS)/.mutation  ## Change every place of what consent, sealing and the erase rest on: tests notice, or a reason is listed
	$(BESIDE) $(WHEEL)/bin/python tests/mutation/running.py --sources > $(VENV)/mutated
	$(TOOLS)/mutation/bin/python tests/mutation/making.py $$(cat $(VENV)/mutated) > $(VENV)/mutants.json
	$(BESIDE) $(WHEEL)/bin/python tests/mutation/running.py $(VENV)/mutants.json

test-interop: $(WHEEL)/.installed $(INTEROP)/.js $(INTEROP)/.python $(INTEROP)/.published  ## Against other implementations: JavaScript, cwt, zcbor
	@cp tests/interop/js/*.mjs $(INTEROP)/js/
	EDGE_INTEROP=$(abspath $(INTEROP)) $(BESIDE) $(WHEEL)/bin/python $(PYTEST) $(INTEROP_TESTS)

check: $(VENV)/.dev  ## Lint, types, import contracts, architecture: under a minute, no wheel
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-logo --no-cache
	$(VENV)/bin/python -m pytest --quiet tests/architecture

bench: $(VENV)/.dev $(VENV)/.peers  ## Speed and bytes on this machine, side by side with its peers; tables, JSON, plots
	$(VENV)/bin/python -m benchmarks
	$(VENV)/bin/python -m benchmarks.compare --peers $(VENV)/peers/bin/python
	$(VENV)/bin/python -m benchmarks.floor
	$(VENV)/bin/python -m benchmarks.startup

bench-check: $(VENV)/.dev  ## Fail where recording or sealing takes over 5 % more instructions than the baseline
	$(VENV)/bin/python -m benchmarks.instructions --check

bench-peers: $(VENV)/.dev $(VENV)/.peers  ## Of that the table of the script, this line and its peers, and the plots
	$(VENV)/bin/python -m benchmarks.compare --peers $(VENV)/peers/bin/python

docs: $(VENV)/.dev  ## Write the documents that are made from the package (docs/policies.md)
	$(VENV)/bin/python -m tests.docs.policies_page

# uv reads for all platforms and versions at once; the files have the hash of every archive that may be installed.
COMPILE := $(TOOLS)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
           --custom-compile-command 'make lock' --upgrade

lock: $(TOOLS)/.made  ## Write the hashed lock files anew, with the newest releases that pyproject.toml allows
	$(COMPILE) pyproject.toml -o $(LOCKS)/run.txt
	$(COMPILE) --extra dev pyproject.toml -o $(LOCKS)/dev.txt
	$(COMPILE) $(LOCKS)/tools.in -o $(LOCKS)/tools.txt
	$(COMPILE) $(LOCKS)/interop.in -o $(LOCKS)/interop.txt
	$(COMPILE) $(LOCKS)/mutation.in -o $(LOCKS)/mutation.txt
	$(COMPILE) --no-deps $(LOCKS)/published.in -o $(LOCKS)/published.txt

audit: $(TOOLS)/.made  ## Look up known holes in everything that is locked (asks the registry's advisories)
	$(TOOLS)/bin/pip-audit --strict --disable-pip --require-hashes -r $(LOCKS)/run.txt
	$(TOOLS)/bin/pip-audit --strict --disable-pip --require-hashes -r $(LOCKS)/dev.txt
	$(TOOLS)/bin/pip-audit --strict --disable-pip --require-hashes -r $(LOCKS)/tools.txt

# An environment with the wheel and what it needs at run time, and nothing else, not even pip.
sbom: $(DIST)/.built $(TOOLS)/.made  ## Write what is delivered as a CycloneDX bill of materials
	@rm -rf $(VENV)/delivered
	@$(VENV)/bin/python -m venv --without-pip $(VENV)/delivered
	$(TOOLS)/bin/python $(PIP) --python $(VENV)/delivered/bin/python install --require-hashes -r $(LOCKS)/run.txt
	$(TOOLS)/bin/python $(PIP) --python $(VENV)/delivered/bin/python install --no-deps --no-index --find-links $(DIST) edge-sdk
	$(TOOLS)/bin/cyclonedx-py environment --output-reproducible -o $(DIST)/edge-sdk.cdx.json $(VENV)/delivered
	@echo "$(DIST)/edge-sdk.cdx.json"

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

# Developed with what is locked; the wheel is tested with what a user gets today (below).
$(VENV)/.dev: pyproject.toml $(LOCKS)/dev.txt | $(VENV)/.made
	$(VENV)/bin/python $(PIP) install --require-hashes -r $(LOCKS)/dev.txt
	$(VENV)/bin/python $(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

# Apart from the rest: nothing of a peer is installed beside this package.
$(VENV)/.peers: Makefile | $(VENV)/.made
	@rm -rf $(VENV)/peers && $(VENV)/bin/python -m venv $(VENV)/peers
	$(VENV)/peers/bin/python $(PIP) install $(PEERS)
	$(VENV)/peers/bin/python $(PIP) install --no-deps $(PEER_ALONE)
	@touch $@

$(TOOLS)/.made: $(LOCKS)/tools.txt | $(VENV)/.made
	@$(VENV)/bin/python -m venv $(TOOLS)
	$(TOOLS)/bin/python $(PIP) install --require-hashes -r $(LOCKS)/tools.txt
	@touch $@

# What makes mutants; nothing of it is installed beside what is tested.
$(TOOLS)/.mutation: $(LOCKS)/mutation.txt $(TOOLS)/.made
	@rm -rf $(TOOLS)/mutation && $(VENV)/bin/python -m venv $(TOOLS)/mutation
	$(TOOLS)/mutation/bin/python $(PIP) install --require-hashes -r $<
	@touch $@

node:
	@node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' \
	    && command -v npm > /dev/null || { \
	    echo "test-interop needs Node.js 20.19 or newer, and npm: apt install nodejs npm (Debian 13, Ubuntu 25.04 or later)" >&2; \
	    exit 1; }

$(INTEROP)/.js: tests/interop/js/package.json tests/interop/js/package-lock.json | $(VENV)/.made node
	@rm -rf $(INTEROP)/js && mkdir -p $(INTEROP)/js
	@cp $^ $(INTEROP)/js/
	cd $(INTEROP)/js && npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

$(INTEROP)/.python: $(LOCKS)/interop.txt | $(VENV)/.made
	@mkdir -p $(INTEROP) && $(VENV)/bin/python -m venv $(INTEROP)/python
	$(INTEROP)/python/bin/python $(PIP) install --require-hashes -r $(LOCKS)/interop.txt
	@touch $@

# cwt's vectors are in its source archive only.
$(INTEROP)/.published: $(LOCKS)/published.txt | $(VENV)/.made
	@rm -rf $(INTEROP)/published && mkdir -p $(INTEROP)/published
	$(VENV)/bin/python $(PIP) download --no-deps --no-binary cwt --dest $(INTEROP)/published --require-hashes -r $<
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
	$(WHEEL)/bin/python $(PIP) install "$$(echo $(DIST)/*.whl)[test,systems]"
	$(WHEEL)/bin/python $(PIP) install --no-deps $(DEMO_DATA)
	@touch $@

$(WHEEL)/.installed: $(DIST)/.built $(WHEEL)/.deps
	$(WHEEL)/bin/python $(PIP) install --no-deps --force-reinstall $(DIST)/*.whl
	@touch $@
