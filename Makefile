# Every target sets up .venv by itself and needs only make and Python >= 3.11.
# PYTHON=python3.12 make test chooses the interpreter; else it is the newest that runs.
PYTHON ?=
# make bench ARGUMENTS=--help tells what can be measured apart.
ARGUMENTS ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CANDIDATES := python3.15 python3.14 python3.13 python3.12 python3.11 python3

# Where it is set, each of a thousand processes compiles us anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-slow test-asan browser backends bench soak lint vendor venv clean

help:
	@echo "make demo       measure the demo site under WSGI and ASGI; writes build/demo/report.html"
	@echo "make test       the tests"
	@echo "make test-slow  the tests that take minutes (make test-asan: those under AddressSanitizer alone)"
	@echo "make lint       ruff, mypy and the rules of what may import what"
	@echo "make bench      what tracing costs (ARGUMENTS=--help says what can be measured apart)"
	@echo "make soak       a million requests (SOAK='--requests 20000' for fewer)"
	@echo "make venv       only set up .venv, which each of these does when it has to"
	@echo "make clean      remove .venv and all that was built"
	@echo
	@echo "PYTHON=python3.12 chooses the interpreter; else it is the newest that runs here."

demo: venv
	$(BIN)/tracer compare --flame --json build/demo/comparison.json --html build/demo/report.html --record build/demo

# What wants the machine to itself has it; all else shares it, and waits a third of the time.
PYTEST := $(BIN)/python -m pytest -rR
SHARED := --numprocesses $$(( $$(nproc) + 1 )) --dist loadfile --no-loadscope-reorder
test: venv browser backends
	$(PYTEST) $(SHARED) -m "not alone and not slow"
	$(PYTEST) -m "alone and not slow"

# What takes minutes, and what tells a crash of the C kernel from a fault of ours: each night.
test-slow: venv browser backends
	$(PYTEST) -m slow
	TRACER_PURE=1 $(PYTEST) tests/truth tests/observer tests/probes -m "not slow" -k "not gthread and not gunicorn-uvicorn"
	$(MAKE) test-asan

# The C kernel built with AddressSanitizer, in this interpreter and in every server that is started.
test-asan: venv
	$(BIN)/python -m tests.support.sanitized tests/probes tests/truth tests/observer tests/runtime/native

browser: venv
	@sh tests/install_browser.sh

# Jaeger from source: minutes, once for all checkouts. Without Go its tests are skipped and say so.
backends: venv
	@if command -v go >/dev/null 2>&1; then $(BIN)/python -m tests.backends.build jaeger || true; fi

bench: venv
	$(BIN)/python -m benchmarks $(ARGUMENTS)

# SOAK='--requests 20000' for fewer than a million, SOAK='--seconds 60' to end earlier.
soak: venv
	$(BIN)/python -m tests.soak $(SOAK)

lint: venv
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/stubtest tracer.model._native --ignore-disjoint-bases

# How the library for charts came into the package, with its licence; needs npm, and nobody else does.
UPLOT := 1.6.32
VENDOR := tracer/reports/page/vendor
vendor:
	mkdir -p build/uplot
	cd build/uplot && npm pack --silent uplot@$(UPLOT) && tar xzf uplot-$(UPLOT).tgz
	cp build/uplot/package/dist/uPlot.iife.min.js build/uplot/package/dist/uPlot.min.css $(VENDOR)/
	cp build/uplot/package/LICENSE $(VENDOR)/uPlot.LICENSE

# A name on PATH proves nothing: version managers put shims there that only fail. So each is run.
# The stamp holds where .venv was made, and what it was filled and the accelerator built from.
venv:
	@set -eu; \
	say() { echo "make: $$1" >&2; exit 2; }; \
	runs() { "$$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }; \
	base() { "$$1" -c 'import os, sys; print(os.path.realpath(sys._base_executable))'; }; \
	first() { for one; do if runs "$$one"; then echo "$$one"; return; fi; done; }; \
	chosen=''; \
	if [ -n "$(PYTHON)" ]; then \
		chosen=$$(first "$(PYTHON)" "$${PYENV_ROOT:-$${HOME:-}/.pyenv}"/versions/*/bin/"$(PYTHON)"); \
		[ -n "$$chosen" ] || say "PYTHON=$(PYTHON) does not run or is older than 3.11"; \
	fi; \
	usable() { \
		runs $(BIN)/python && $(BIN)/python -c 'import pip' 2>/dev/null || return 1; \
		[ ! -f $(STAMP) ] || [ "$$(head -n 1 $(STAMP))" = "# $(CURDIR)" ] || return 1; \
		[ -z "$$chosen" ] || [ "$$(base "$$chosen")" = "$$(base $(BIN)/python)" ]; \
	}; \
	if ! usable; then \
		[ -n "$$chosen" ] || chosen=$$(first $(CANDIDATES)); \
		[ -n "$$chosen" ] || say "no Python >= 3.11 runs here; name one with PYTHON=..."; \
		"$$chosen" -c 'import ensurepip, venv' 2>/dev/null \
			|| say "$$chosen has no venv or ensurepip (Debian: apt install python3-venv)"; \
		rm -rf $(VENV); \
		echo "make: setting up $(VENV) with $$("$$chosen" --version)"; \
		"$$chosen" -m venv $(VENV); \
	fi; \
	wanted() { echo "# $(CURDIR)"; cat pyproject.toml setup.py tracer/__init__.py tracer/runtime/native/*; }; \
	if ! wanted | cmp -s - $(STAMP); then \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'; \
		wanted > $(STAMP); \
	fi

clean:
	rm -rf $(VENV) build dist *.egg-info tracer/model/*.so .pytest_cache .mypy_cache .ruff_cache .hypothesis
