# What a contributor types. Without make, type the commands themselves.
.PHONY: setup test slow lint readme notebooks site ci

setup: # create .venv and install everything for development
	python -m venv .venv
	.venv/bin/pip install -c constraints.txt -e '.[dev]'

test: # run the fast tests
	.venv/bin/pytest

slow: # run the slow tests
	.venv/bin/pytest -m slow

lint: # check style, format and types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

readme: # write the program's current output and figures into the README
	.venv/bin/python tools/make_readme.py

notebooks: # run the pages in docs/notebooks and store what they print
	.venv/bin/python tools/make_notebooks.py

site: # build the documentation site
	.venv/bin/python -m sphinx docs site-built

ci: # run everything that CI runs
	bash .ci/run
	bash .ci/run slow
