# Two commands carry the house: `make demo` shows it, `make test` proves it.
#
# PyTorch: on Linux the plain package index serves a build with several GB of CUDA libraries. Who wants the CPU build
# installs it first, from PyTorch's own index, with the version that constraints.txt pins; `make setup` then keeps it:
#     python3 -m venv .venv && .venv/bin/pip install torch==2.13.0 --index-url <PyTorch's CPU index>

COVERAGE_FLOOR := 80
EXTRAS := all,test
MINUTES := 60
CASES := $(wildcard $(addprefix $(or $(COVSEG_DATA),../shared/data)/,volumes slices slices_infection))

# The first Python on the PATH that this project supports; `make setup PYTHON=/path/to/python3.12` names another.
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c '$(SUPPORTED)' 2>/dev/null && echo $$python && break; done)

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup system demo test test-slow lint types contracts weights gpu pictures wheel constraints clean

help:           ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

setup:          ## .venv with the pinned dependencies, and the system libraries that Qt needs
setup: .venv/installed

demo: setup     ## open the bundled sample; without a screen, leave its pictures and table in demo_out/
	.ci/with_display .venv/bin/covseg demo --out demo_out

test: setup lint types contracts  ## everything CI runs: lint, types, contracts, then pytest in a real window
	OMP_NUM_THREADS=1 .ci/with_display .venv/bin/python -m pytest -m "not slow" -n 2 --dist loadgroup \
		--cov=napari_covseg --cov-fail-under=$(COVERAGE_FLOOR)

test-slow: setup  ## the tests that take minutes
	.ci/with_display .venv/bin/python -m pytest -m slow

lint: setup     ## ruff, both rules and format
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

types: setup    ## mypy, strict
	.venv/bin/mypy

contracts: setup  ## which room may import which
	.venv/bin/lint-imports

weights: setup  ## train what is missing of the weights that ship, or with AGAIN=1 all, MINUTES per network; CASES names the folders
	.venv/bin/python benchmarks/weights.py $(foreach folder,$(CASES),--cases $(folder)) --minutes $(MINUTES) $(if $(AGAIN),--again)

gpu: setup      ## where CUDA is: every network on it, checked against the CPU and timed; writes docs/gpu.md
	.venv/bin/python benchmarks/gpu.py --json .cache/gpu.json

pictures: setup  ## docs/pictures: every panel in every state, light and dark, in the real window
	.ci/with_display .venv/bin/python docs/make_pictures.py

wheel: setup    ## the wheel and the source distribution, in dist/
	.venv/bin/python -m build --no-isolation

constraints:    ## pin today's newest releases again; run it with Python 3.11, whose pins 3.12 and 3.13 accept too
	.ci/pin $(EXTRAS)

clean:          ## remove what was built, but not .venv
	rm -rf build dist demo_out htmlcov .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

system:
	@test -n "$(PYTHON)" || { echo "napari_covseg needs Python 3.11, 3.12 or 3.13, and none is on the PATH. Install" \
		"one, or name it: make setup PYTHON=/path/to/python3.12"; exit 1; }
	@PYTHON=$(PYTHON) .ci/system.sh

# The stamp is written last: an install that was interrupted starts again.
.venv/installed: pyproject.toml constraints.txt | system
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)]'
	@touch $@
