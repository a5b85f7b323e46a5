# The two commands of a newcomer are "make demo" and "make test". They need a Python >= 3.11 and the network.

SHELL := /bin/sh
.DEFAULT_GOAL := help

# pyenv's shims answer to names of Pythons that are not selected, with an error, and tools skip those Pythons.
# The real folders before the shims show every Python there is.
PYENV_ROOT ?= $(HOME)/.pyenv
export PATH := $(subst $() ,:,$(sort $(wildcard $(PYENV_ROOT)/versions/3.1[1-9]*/bin))):$(PATH)

# See constraints.txt: once for what is installed, once for what is built. Relative, because pip and uv take a blank
# in the path of the clone for the end of the name.
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt
export UV_CONSTRAINT := constraints.txt
export UV_BUILD_CONSTRAINT := constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export UV_PYTHON_DOWNLOADS := never
# uv brings certificates of its own; those of a company's proxy are in the system's store only.
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem),)
export UV_SYSTEM_CERTS ?= true
endif

# The first Python >= 3.11, those that the tests cover before newer ones. PYTHON=... on the command line wins.
CANDIDATES := python3.13 python3.12 python3.11 python3 python python3.14 python3.15
PYTHON ?= $(shell for p in $(CANDIDATES); do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v $$p; break; }; done)

DISTRIBUTIONS := $(patsubst %/pyproject.toml,%,$(wildcard packages/*/pyproject.toml plugins/*/pyproject.toml))
INSTALLED = pyproj $(addprefix -e ./,$(DISTRIBUTIONS))
TOX = .tox-venv/bin/tox
# How many environments run side by side, and more arguments for tox: make test TOX_ARGS="-f py312"
TOX_PARALLEL ?= 2
TOX_ARGS ?=
# What "make check" compares with.
BASE ?= main

.PHONY: help demo dev check test lint types format clean

help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

demo: .venv/installed ## run the example job twice and show what landed
	@VDK_VERSION_CHECK_DISABLED=true .venv/bin/python examples/epsg-and-shop/demo.py

dev: .venv/dev-installed ## an environment to work in: every package editable, pytest, ruff and mypy

check: .venv/dev-installed ## what changed since main: commits, style, types and its tests, in under a minute
	.venv/bin/python tools/check_change.py $(BASE)

test: .tox-venv/installed ## everything: tests on every Python there is, wheels, lint, types, examples
	$(TOX) run-parallel --parallel $(TOX_PARALLEL) --parallel-no-spinner $(TOX_ARGS)

lint: .tox-venv/installed ## check style and the rules of the house
	$(TOX) run -q -e lint

types: .tox-venv/installed ## mypy, strict
	$(TOX) run -q -e types

format: .tox-venv/installed ## rewrite the sources in the one format
	$(TOX) run -q -e format

clean: ## remove what these commands made
	rm -rf .venv .tox-venv .tox .mypy_cache .ruff_cache .pytest_cache .coverage .coverage.*
	find packages plugins template benchmarks examples \( -name __pycache__ -o -name '*.egg-info' -o -name build -o -name dist \) \
		-type d -prune -exec rm -rf {} +

# Editable, so that the demo's environment is also the one to develop in. uv is a matter of seconds where pip takes
# a minute; where there is no uv for the machine, pip does.
.venv/installed: constraints.txt Makefile $(DISTRIBUTIONS:=/pyproject.toml) $(DISTRIBUTIONS:=/setup.py)
	$(call new-venv,.venv)
	@echo "Installing the packages and what they need into .venv ..."
	@{ .venv/bin/pip install --quiet uv && .venv/bin/uv pip install --quiet --python .venv $(INSTALLED); } \
		|| .venv/bin/pip install --quiet $(INSTALLED)
	@touch $@

# What the tests of the distributions ask for, less the distributions themselves, which are there as sources.
TEST_REQUIREMENTS := $(wildcard packages/*/requirements.txt plugins/*/requirements.txt)
DEV_TOOLS := check-jsonschema mkdocs-material mypy pyyaml ruff types-PyYAML types-setuptools types-tabulate
.venv/dev-installed: .venv/installed $(TEST_REQUIREMENTS)
	@echo "Installing what tests, types and style need into .venv ..."
	@sed -e 's/#.*//' -e '/^ *$$/d' -e '/^vdk-\(datasource\|source\|ingest\)-/d' $(TEST_REQUIREMENTS) | sort -u > .venv/dev.txt
	@{ .venv/bin/uv pip install --quiet --python .venv $(INSTALLED) $(DEV_TOOLS) --requirement .venv/dev.txt; } \
		|| .venv/bin/pip install --quiet $(INSTALLED) $(DEV_TOOLS) --requirement .venv/dev.txt
	@touch $@

.tox-venv/installed: constraints.txt Makefile
	$(call new-venv,.tox-venv)
	@case "$(CURDIR)" in *" "*) echo 'tox cannot work in a folder with a blank in its path; move the clone.' >&2; exit 1;; esac
	@echo "Installing tox into .tox-venv ..."
	@.tox-venv/bin/pip install --quiet tox tox-uv
	@touch $@

define new-venv
	@test -n "$(PYTHON)" || { echo 'No Python >= 3.11 with its venv module was found. Install one' \
		'(on Debian and Ubuntu also python3-venv), or say which: make $(MAKECMDGOALS) PYTHON=/path/to/python' >&2; exit 1; }
	@"$(PYTHON)" -m venv --clear $(1)
endef
