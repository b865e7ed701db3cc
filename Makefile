# make train   train MAG on StarCraft-like battles; options: make train ARGS="--env smax/2s3z --seed 1"
# make test    formatting, lint, types and all tests but the slow ones
# make slow    the slow tests: whole runs, resume of every method, learning of every probe; a third: make slow SHARE=1/3
# make bench   speed of the parts; one of them: make bench ARGS=planning
# make docs    the documentation as a site, at http://127.0.0.1:8000
# make pages   what the pages show of the code, written anew: options, metrics, help, error messages, scores
# make figures rebuild every table and picture from the curves kept under results/, into figures/
# Each sets up .venv first, from the exact versions of requirements.lock.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
ARGS ?=
SHARE ?= 1/1

.PHONY: train test slow bench docs pages figures setup clean
.DEFAULT_GOAL := train

train: $(READY)
	$(BIN)/mag train $(ARGS)

test: $(READY)
	@.ci/checks $(BIN)

slow: $(READY)
	@.ci/tests $(BIN) slow $(SHARE)

bench: $(READY)
	$(if $(ARGS),$(BIN)/mag bench $(ARGS),set -e; for part in planning world-model ppo env iteration; do $(BIN)/mag bench $$part; done)

docs: $(READY)
	$(BIN)/mkdocs serve --quiet

pages: $(READY)
	$(BIN)/python docs/hooks/pages.py

figures: $(READY)
	set -e; for study in results/*/study.toml; do $(BIN)/mag report $$study --keep --runs figures --out figures/$$(basename $$(dirname $$study)); done
	$(BIN)/mag bound --tasks 10000 --out results/theorem-1

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "mag needs Python 3.11 or newer, but $(PYTHON) is $$($(PYTHON) --version 2>&1 | head -n 1); name another with: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $(READY)

clean:
	rm -rf .venv build site *.egg-info .pytest_cache .mypy_cache .ruff_cache
