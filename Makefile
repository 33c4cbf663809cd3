# Two commands matter: `make reproduce` and `make test`. Each makes .venv first, from a Python >= 3.11 and nothing else.
# Only that set-up needs a network, and `python -m wsris_lib fetch`, which gets public checkpoints and corpora.

PYTHON ?= python3
PROFILE ?= tiny
DATA ?=
export HF_HUB_OFFLINE ?= 1

BIN := .venv/bin
INSTALLED := .venv/.installed
CRF := pydensecrf2==1.1
STRIP := $(BIN)/nbstripout --extra-keys "metadata.widgets metadata.papermill metadata.language_info.version cell.metadata.papermill"

.PHONY: help setup reproduce test lint format strip lab zoo lock clean
help:
	@echo "make reproduce [PROFILE=tiny] [DATA=folder]   every notebook and the table of results"
	@echo "make test       lint, tests, every notebook in its smallest size: what CI runs"
	@echo "make lab        JupyterLab in notebooks/"
	@echo "make setup | lint | format | strip | zoo | lock | clean"

setup: $(INSTALLED)

# uv is told which Python to serve: an activated environment would otherwise win over .venv. It compiles nothing unless
# asked to, and where PYTHONDONTWRITEBYTECODE is set every process would compile torch and transformers anew: 17 s of a
# core instead of 8, for each lesson and each of the tests' workers.
$(INSTALLED): pyproject.toml requirements-lock.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "wsris needs Python 3.11 or newer; '$(PYTHON)' is missing or older. Try: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@echo "Making .venv: about 4 minutes and 6 GB of disk (half a minute when the packages are cached)."
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -r requirements-lock.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	@echo "Compiling pydensecrf, the fast dense CRF: about a minute."
	@$(BIN)/uv pip install --quiet --python $(BIN)/python $(CRF) 2>/dev/null || \
		echo "$(CRF) wasn't built: the slower lattice is used. With a C++ compiler: $(BIN)/uv pip install --python $(BIN)/python $(CRF)"
	@touch $@

reproduce: $(INSTALLED)
	$(BIN)/python -m wsris_lib reproduce --profile $(PROFILE) $(if $(DATA),--data "$(DATA)")

# Tests run on the CPU, one thread a worker (two 2-thread torch processes on two cores are ten times slower than one),
# in a home of their own. The notebooks come last, one after the other: the first makes what all of them share.
test: export CUDA_VISIBLE_DEVICES ?=
test: export WSRIS_HOME := $(CURDIR)/runs/test
test: lint
	rm -rf runs/test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist loadfile -m "not slow"
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist loadfile -m slow
	WSRIS_PROFILE=smoke $(BIN)/python -m pytest -q --nbval-lax --nbval-current-env --nbval-cell-timeout 300 notebooks

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(STRIP) --verify notebooks/*.ipynb

format: $(INSTALLED)
	$(BIN)/ruff check --fix --exit-zero .
	$(BIN)/ruff format .
	$(STRIP) notebooks/*.ipynb

strip: $(INSTALLED)
	$(STRIP) notebooks/*.ipynb

lab: $(INSTALLED)
	$(BIN)/jupyter lab --notebook-dir notebooks

# Trains the miniature checkpoints of data/zoo again: hours on a CPU. Nobody needs it to run the notebooks.
zoo: $(INSTALLED)
	for name in clip clip_rn text dino depth sam2 detector swin; do $(BIN)/python -m wsris_lib zoo train $$name || exit 1; done

# Keeps the pinned versions that still fit pyproject.toml. To move them all: make lock UPGRADE=--upgrade
# All extras but crf: not every machine can compile it.
lock: $(INSTALLED)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra lab --extra llm --extra dev \
		--no-emit-index-url --no-header $(UPGRADE) -o requirements-lock.txt pyproject.toml

# Results (runs/) stay.
clean:
	rm -rf .venv build *.egg-info .pytest_cache .ruff_cache .hypothesis
