# Every target sets up .venv by itself and needs only make and Python >= 3.11.
# PYTHON=python3.12 make test chooses the interpreter; else it is the newest that runs.
PYTHON ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CANDIDATES := python3.15 python3.14 python3.13 python3.12 python3.11 python3

.PHONY: help demo test bench lint venv clean

help:
	@echo "make demo | test | bench | lint | clean   (PYTHON=python3.12 to choose the interpreter)"

demo: venv
	$(BIN)/tracer compare --json build/demo/comparison.json --html build/demo/report.html --record build/demo

test: venv
	$(BIN)/python -m pytest

bench: venv
	$(BIN)/python benchmarks/overhead.py

lint: venv
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# A name on PATH proves nothing: version managers put shims there that only fail. So each is run.
# The stamp holds where .venv was made and the pyproject.toml that it was filled from.
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
	wanted() { echo "# $(CURDIR)"; cat pyproject.toml; }; \
	if ! wanted | cmp -s - $(STAMP); then \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'; \
		wanted > $(STAMP); \
	fi

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
