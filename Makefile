# make demo    set everything up, then run examples/customer_segmentation on the local AWS
# make test    set everything up, then run the tests
# make bench   print what we measure beside a peer (ONLY=states,glue,... for some of it)
# make late    run the tests with threads that are late by chance, in another time zone (ARGS=tests/local)
# make reliability   measure what docs/reliability.md says: kills, full disks, random programs (half an hour)
# make check   lint, types, layers
# make clean   stop the demo and forget its data; make distclean also removes the environments

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && command -v $$p && break; done)
BIN := .venv/bin
DEMO := examples/customer_segmentation
GLUE := 5.1
# Two test processes: half of the time is spent waiting. A file's tests stay together, they share an endpoint.
# One that crashes is not begun again: pytest-xdist would wait for its tests for ever.
# In the order of the folders, where the dearest files come first: by number of tests, as pytest-xdist orders them, a file
# of one test that takes a minute would be the last.
SIDE_BY_SIDE := -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart=0
# The two must name the same tests: one seed for both, another in each run.
test quick late: export PYTHONHASHSEED := $(shell echo $$$$)
export MILLPOND_RUNTIMES := $(CURDIR)/.runtime

.PHONY: help demo test quick late check bench reliability setup compiled runtime clean distclean
help:
	@sed -n 's/^# make /make /p' Makefile

setup: .venv/.ready
.venv/.ready: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Millpond needs Python 3.11 or newer; none was found on PATH" >&2; exit 2; }
	@echo "setting up .venv with $(PYTHON) (a minute or two, once) ..." >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo,dev]'
	@touch $@

runtime: setup
	@$(BIN)/millpond runtime install $(GLUE)

demo: runtime
	@$(BIN)/millpond run $(DEMO)

# Compiled once, not again in each of some hundred processes where PYTHONDONTWRITEBYTECODE is set.
compiled: setup
	@$(BIN)/python -m compileall -q src

test: runtime compiled
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(ARGS)

quick: setup compiled
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "not slow and not spark" $(ARGS)

# Three processes: most of the time somebody sleeps.
late: runtime
	TZ=Pacific/Auckland MILLPOND_LATE=0.6 PYTHONPATH=$(CURDIR)/tests/late \
		$(BIN)/python -m pytest $(SIDE_BY_SIDE) -n 3 $(or $(ARGS),tests/local tests/reliability)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: runtime
	$(BIN)/python bench/run.py $(ONLY)

reliability: runtime
	rm -f docs/reliability.jsonl
	MILLPOND_RELIABILITY=full MILLPOND_RELIABILITY_PROGRAMS=10000 MILLPOND_RELIABILITY_RESULTS=$(CURDIR)/docs/reliability.jsonl \
		$(BIN)/python -m pytest tests/reliability $(ARGS)
	$(BIN)/python docs/generate_reliability.py

clean:
	-@test -x $(BIN)/millpond && $(BIN)/millpond reset --yes --data $(DEMO)/.millpond
	-@test -x $(BIN)/python && $(BIN)/python $(DEMO)/shop.py delete

distclean: clean
	rm -rf .venv .runtime
