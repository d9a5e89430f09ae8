# `make demo` and `make test` set up everything they need; run either one alone on a fresh clone.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
PY := $(VENV)/bin/python
# One process a core, each with one thread: most tests are small, and wait.
PYTEST := OMP_NUM_THREADS=1 $(PY) -m pytest -n auto --maxprocesses 4 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help venv demo test test-slow wheel reproduce lint bench bench-nfc bench-ipg bench-extractors bench-mini bench-quality

help: ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22

venv: $(VENV)/installed ## make .venv with the pinned requirements and the command pose2id

demo: $(VENV)/installed ## pictures from ref/ and standard_poses/, then a scored table on synthetic people
	$(PY) scripts/demo.py

test: $(VENV)/installed-dev ## run the tests
	$(PYTEST)

test-slow: $(VENV)/installed-dev ## tests that take minutes: full-size golden figures, pages of docs/, trainings (TESTS=folder)
	$(PYTEST) --dist loadgroup -m slow $(TESTS)

wheel: $(VENV)/installed ## build the wheel, install it into an empty environment, generate and evaluate there
	$(PY) scripts/check_wheel.py

reproduce: $(VENV)/installed ## the paper's tables and figures, on synthetic people
	$(PY) -m pose2id reproduce all --world synthetic

lint: $(VENV)/installed-dev ## check style and types
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

bench: bench-nfc bench-ipg ## measure speed and memory on this machine

bench-nfc: $(VENV)/installed ## NFC, ranking and re-ranking: plain implementations against ours
	$(PY) -m pose2id bench nfc

bench-ipg: $(VENV)/installed ## full-size generation: the official order of work against ours
	$(PY) -m pose2id bench ipg

bench-extractors: $(VENV)/installed ## pictures a second of every ReID network at full size
	$(PY) -m pose2id bench extractors

bench-mini: $(VENV)/installed ## the small networks on people of three unseen worlds
	$(PY) -m pose2id bench mini

bench-quality: $(VENV)/installed ## what faster settings cost in quality
	$(PY) -m pose2id bench quality

# Some Linux distributions ship Python without ensurepip; there the outer pip fills the environment.
$(PY):
	$(PYTHON) -m venv $(VENV) || { $(PYTHON) -m venv --clear --without-pip $(VENV) && \
		$(PYTHON) -m pip --python $(PY) install pip; }

$(VENV)/installed: requirements.txt | $(PY)
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

$(VENV)/installed-dev: requirements-dev.txt $(VENV)/installed
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@
