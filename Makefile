# Two commands matter: `make reproduce` and `make test`. Each makes .venv first, from a Python >= 3.11 and nothing else.
# Only that set-up needs a network, and `python -m wsris_lib fetch`, which gets public checkpoints and corpora.

PYTHON ?= python3
PROFILE ?= tiny
DATA ?=
# Whose torch `setup` installs on Linux: auto (cuda where there is an NVIDIA GPU, else cpu), cpu or cuda.
TORCH ?= auto
export HF_HUB_OFFLINE ?= 1
# How often a thread of torch's looks for work before it sleeps: beside other work the usual 300,000 times slow a run
# by ten times its share (`infra.device.SPINS`).
export GOMP_SPINCOUNT ?= 2000

BIN := .venv/bin
INSTALLED := .venv/.installed
CRF := pydensecrf2==1.1
STRIP := $(BIN)/nbstripout --extra-keys "metadata.widgets metadata.papermill metadata.language_info.version cell.metadata.papermill"

.PHONY: help setup reproduce app test margins lint format strip lab site slides with-site exercises zoo lock clean
help:
	@echo "make reproduce [PROFILE=tiny] [DATA=folder]   every notebook and the table of results"
	@echo "make app [PROFILE=tiny]                        a page in the browser that asks all trained models"
	@echo "make test       lint, tests, every notebook in its smallest size: what CI runs"
	@echo "make margins    how far the tests that train something are from failing, on every setting of this machine"
	@echo "make lab        JupyterLab in notebooks/"
	@echo "make site [PROFILE=tiny]                       the lessons as executed, documents and API as pages, in build/site"
	@echo "make slides [PROFILE=tiny]                     each lesson's headings, formulas and figures as slides, in build/slides"
	@echo "make setup [TORCH=auto|cpu|cuda]               .venv; auto leaves CUDA out where there is no NVIDIA GPU"
	@echo "make lint | format | strip | exercises | zoo | lock | clean"

setup: $(INSTALLED)

# uv is told which Python to serve: an activated environment would otherwise win over .venv. Without an NVIDIA GPU its
# libraries are left out: `setup.environment` says what is installed and how large it is.
$(INSTALLED): pyproject.toml requirements-lock.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "wsris needs Python 3.11 or newer; '$(PYTHON)' is missing or older. Try: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@echo "Making .venv: about 4 minutes (half a minute when the packages are cached)."
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/python -m wsris_lib.setup.environment --torch $(TORCH)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	@echo "Compiling pydensecrf, the dense CRF of single masks: about a minute."
	@$(BIN)/uv pip install --quiet --python $(BIN)/python $(CRF) 2>/dev/null || \
		echo "$(CRF) wasn't built: the lattice does its work. With a C++ compiler: $(BIN)/uv pip install --python $(BIN)/python $(CRF)"
	@touch $@

reproduce: $(INSTALLED)
	$(BIN)/python -m wsris_lib reproduce --profile $(PROFILE) $(if $(DATA),--data "$(DATA)")

app: $(INSTALLED)
	$(BIN)/python -m wsris_lib app --profile $(PROFILE) $(if $(DATA),--data "$(DATA)")

# Tests run on the CPU, in a home of their own. What fails doesn't stop what comes after it: lint, fast tests, slow tests
# and notebooks all run, a summary ends them, and then make fails.
test: export CUDA_VISIBLE_DEVICES ?=
test: export WSRIS_HOME := $(CURDIR)/runs/test
test: $(INSTALLED)
	rm -rf runs/test
	@$(MAKE) --no-print-directory lint && linted=0 || linted=1; \
	$(BIN)/python tests/run_all.py && tested=0 || tested=1; \
	[ $$linted = 0 ] || echo "FAILED make lint: see the top"; \
	exit $$((linted + tested))

# The tests that train something, under every instruction set, number of threads and seed that this machine can have.
margins: export CUDA_VISIBLE_DEVICES ?=
margins: export WSRIS_HOME := $(CURDIR)/runs/test
margins: $(INSTALLED)
	$(BIN)/python tests/learning.py

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(STRIP) --verify notebooks/*.ipynb notebooks/*/*.ipynb

format: $(INSTALLED)
	$(BIN)/ruff check --fix --exit-zero .
	$(BIN)/ruff format .
	$(STRIP) notebooks/*.ipynb notebooks/*/*.ipynb

strip: $(INSTALLED)
	$(STRIP) notebooks/*.ipynb notebooks/*/*.ipynb

lab: $(INSTALLED)
	$(BIN)/jupyter lab --notebook-dir notebooks

# Static pages, from what `make reproduce` left in runs/. Nothing is executed and nothing comes from a network.
site: $(INSTALLED) with-site
	$(BIN)/python docs/site/build.py --profile $(PROFILE)

slides: $(INSTALLED) with-site
	$(BIN)/python docs/site/slides.py --profile $(PROFILE)

with-site: $(INSTALLED)
	@$(BIN)/python -c 'import furo, myst_nb' 2>/dev/null || \
		$(BIN)/uv pip install --quiet --python $(BIN)/python -c requirements-lock.txt -e ".[site]"

# The students' notebooks, without what stands between the marks in notebooks/solutions.
exercises: $(INSTALLED)
	$(BIN)/python -m wsris_lib.experiments.exercises

# Trains the miniature checkpoints of data/zoo again: hours on a CPU. Nobody needs it to run the notebooks.
zoo: $(INSTALLED)
	for name in clip clip_rn text dino depth sam2 detector swin; do $(BIN)/python -m wsris_lib zoo train $$name || exit 1; done

# Keeps the pinned versions that still fit pyproject.toml. To move them all: make lock UPGRADE=--upgrade
# All extras but crf, sam2 and browser: tests/test_project.py says why.
lock: $(INSTALLED)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra lab --extra site --extra parquet --extra llm --extra dev \
		--no-emit-index-url --no-header $(UPGRADE) -o requirements-lock.txt pyproject.toml

# Results (runs/) stay.
clean:
	rm -rf .venv build *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
