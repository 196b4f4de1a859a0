# make run     set everything up and open Pult (GPU=cuda|vulkan|none overrides the backend llama.cpp is built for)
# make test    set everything up and run the default tests
.PHONY: run test test-all check format screenshots bench docs translations clean

PY := .venv/bin/python
export QT_QPA_PLATFORM_TEST ?= offscreen

run:
	@tools/prepare.sh run
	@$(PY) -m app $(ARGS)

test:
	@tools/prepare.sh test
	QT_QPA_PLATFORM=$(QT_QPA_PLATFORM_TEST) $(PY) -m pytest $(ARGS)

test-all:
	@tools/prepare.sh test
	QT_QPA_PLATFORM=$(QT_QPA_PLATFORM_TEST) $(PY) -m pytest -m 'not gpu' $(ARGS)

check:
	@tools/prepare.sh test
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	.venv/bin/lint-imports
	$(PY) tools/settings_reference.py --check
	$(PY) tools/translations.py check

format:
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

docs:
	$(PY) tools/settings_reference.py

translations:
	$(PY) tools/translations.py update
	$(PY) tools/translations.py compile

screenshots:
	@tools/prepare.sh test
	QT_QPA_PLATFORM=$(QT_QPA_PLATFORM_TEST) $(PY) tools/screenshots.py $(ARGS)

bench:
	@tools/prepare.sh test
	$(PY) benchmarks/decode.py $(ARGS)
	QT_QPA_PLATFORM=$(QT_QPA_PLATFORM_TEST) $(PY) benchmarks/window.py

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
