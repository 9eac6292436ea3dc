# Nexus. `make` alone says what there is.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

export CARGO_TERM_COLOR ?= auto
TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))

.PHONY: help run build page test cluster faults soak bench fmt breaking-image

help: ## Say what there is (the default)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## Build everything and serve it on https://localhost:8443 (ARGS="--config nexus.toml")
	@exec $(TARGET)/release/nexus $(ARGS)

build: page ## Build the release program, with the web page if node is there
	cargo build --release --locked

page: # The web page into web/dist, if it changed: the program is built anew with it
	@if [ ! -f web/package.json ]; then exit 0; \
	elif ! command -v npm >/dev/null; then echo "node is not installed: the web page is left out"; \
	else \
	  if ! cmp -s web/package-lock.json web/node_modules/.built-from; then \
	    npm ci --prefix web && cp web/package-lock.json web/node_modules/.built-from; fi; \
	  if [ ! -d web/dist ] || [ ! -f web/node_modules/.page ] || [ -n "$$(find web proto -mindepth 1 \
	    \( -name node_modules -o -name dist -o -name gen \) -prune -o -newer web/node_modules/.page -print -quit)" ]; then \
	    mkdir -p web/src/gen; touch web/node_modules/.page.next; npm run build --prefix web && mv web/node_modules/.page.next web/node_modules/.page; fi; fi

test: ## Run every check; as root on Debian, install what they lack (CHECKS="proto web" runs only those)
	@.ci/checks $(CHECKS)

cluster: ## Start a whole cluster of real parts on this machine, until Ctrl-C (CASSANDRA_NODES=3)
	cargo build --release --locked --workspace --bin nexus --bin cluster
	@exec $(TARGET)/release/cluster up

faults: ## Let parts of a cluster die under load, and write docs/faults.md (ONLY="core-kill cut-redis")
	cargo build --release --locked --workspace --bin nexus --bin cluster
	@$(TARGET)/release/cluster faults --rate highest --write docs $(ONLY)

soak: ## Run the long tests: many simulation seeds, fuzzing (SEEDS=100000 SECONDS_EACH=300)
	@NEXUS_SEEDS=$(or $(SEEDS),100000) NEXUS_SOAK_SECONDS=$(or $(SECONDS_EACH),300) .ci/each soak.sh

bench: ## Measure, and print figures like those in docs/benchmarks.md
	@.ci/each bench.sh

fmt: ## Format all sources
	cargo fmt --all
	@.ci/buf format -w proto --exclude-path proto/google

breaking-image: ## Accept the API as it is now: later changes are compared with it. Never to make a test pass.
	@.ci/buf build proto --exclude-path proto/google --exclude-source-info --as-file-descriptor-set -o proto/breaking.binpb
