# make demo   the whole loop on real data          make check  format, lint, types, import contracts, spelling
# make test   every test                           make bench  every claim measured; NAME=registry for one
# make fuzz   readers of model files, guided by coverage; ARGS="--seconds 300"
# Each sets up what it needs the first time. Needs Python 3.11 or newer and make.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.complete
TORCH := 2.13.0
export OMP_NUM_THREADS := 1

.PHONY: demo test check bench fuzz setup requirements clean

demo: $(STAMP)
	@mkdir -p build/demo && cd build/demo && ../../$(BIN)/assay demo

test: $(STAMP)
	$(BIN)/python -m pytest -n auto

check: $(STAMP)
	$(BIN)/ruff format --check src tests bench tools examples
	$(BIN)/ruff check src tests bench tools examples
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell src tests bench tools docs changes.d *.md

bench: $(STAMP)
	$(BIN)/python bench/all.py $(NAME) $(ARGS)

fuzz: $(STAMP)
	$(BIN)/python tools/fuzz_readers.py $(ARGS)

setup: $(STAMP)

$(STAMP): pyproject.toml requirements/all.txt
	@$(PYTHON) -c 'import sys; sys.exit("assay needs Python 3.11 or newer, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .tools
	.tools/bin/python -m pip install --quiet --require-hashes --requirement requirements/uv.txt
	.tools/bin/uv venv --quiet --allow-existing --python $(PYTHON) .venv
	.tools/bin/python -m pip --python $(BIN)/python install --quiet torch==$(TORCH)
	.tools/bin/uv pip install --quiet --python $(BIN)/python --require-hashes --requirement requirements/all.txt
	.tools/bin/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

# Pins anew; addresses of registries stay out of the files.
requirements:
	.tools/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url \
		--extra demo --extra scan --extra onnx --extra server --extra otel --group test --group check --group build pyproject.toml --output-file requirements/all.txt
	echo "uv==0.13.9" | .tools/bin/uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header --no-emit-index-url - --output-file requirements/uv.txt

clean:
	rm -rf .venv .tools build
