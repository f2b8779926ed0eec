# Two commands for users: `make demo` and `make test`. Both prepare .venv first, once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test check format lock clean

demo: $(READY)
	@$(BIN)/python -m demo

test: $(READY)
	$(BIN)/python -m pytest -q -n auto --maxprocesses 8 --dist worksteal

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The locked set names versions and hashes only, never an index.
lock: $(READY)
	$(BIN)/uv pip compile --universal --generate-hashes --no-header --no-emit-index-url \
	  --no-emit-find-links --python-version 3.11 --extra images --group dev \
	  pyproject.toml -o requirements/dev.txt

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis

$(READY): requirements/dev.txt pyproject.toml scripts/prepare.sh
	@PYTHON="$(PYTHON)" sh scripts/prepare.sh $(VENV)
	@touch $@
