# New here? make demo and make test are enough; both create .venv first, if it does not exist.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: venv test test-slow test-faults demo bench docs clean help

help:  ## show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

venv: $(INSTALLED)  ## make .venv with the pinned versions

$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	@echo "Installing $$(grep -c == constraints.txt) packages, pinned in constraints.txt, into .venv: about two minutes on two free cores"
	@"$(PYTHON)" -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@
	@echo "Installed: source .venv/bin/activate"

test: $(INSTALLED)  ## ruff, mypy and pytest
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@# mypy runs in parallel with the tests; make test fails if either of them fails.
	$(BIN)/mypy & types=$$!; \
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder -m 'not gpu and not faults and not slow'; \
	tests=$$?; wait $$types && exit $$tests

test-slow: $(INSTALLED)  ## tests that take minutes each: demo with three seeds, tutorial, installing, loggers, Ray, inductor
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile -m slow

test-faults: $(INSTALLED)  ## kill, damage and starve runs; prints a table, under 15 minutes
	OMP_NUM_THREADS=1 $(BIN)/pytest tests/faults -m faults

demo: $(INSTALLED)  ## the whole method on generated data, about a minute on two free cores
	$(BIN)/stark sample-data sample_data
	OMP_NUM_THREADS=1 $(BIN)/stark run --config configs/demo.yaml --name demo --from finetune

bench: $(INSTALLED)  ## ours against the plain way, under 25 minutes; prints a table for docs/performance.md
	$(BIN)/python -m benchmarks

docs: $(INSTALLED)  ## the documentation as a site under build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo build/site/index.html

clean:  ## remove caches and the demo's output, keep .venv
	rm -rf sample_data runs/demo build .mypy_cache .pytest_cache .ruff_cache
