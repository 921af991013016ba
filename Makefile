# `make` alone says what there is.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test torture bench bench-rotation check clients clean

CARGO_TARGET_DIR ?= target

help: ## say what there is to make (this)
	@bold='' plain=''; if [[ -t 1 ]]; then bold=$$'\e[1;36m' plain=$$'\e[0m'; fi; \
	sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r target text; do \
		printf '  %smake %-14s%s %s\n' "$$bold" "$$target" "$$plain" "$$text"; \
	done

run: ## build the server and start it on 127.0.0.1:50051, with its data in ./strongroom-data
	cargo build --release --locked
	exec "$(CARGO_TARGET_DIR)/release/strongroom" serve

test: ## run every test: Rust, the README's commands, and the clients, against real servers
	tests/run.sh

torture: ## try what the tests try a little of thousands of times over: servers killed, power lost
	STRONGROOM_TORTURE_ROUNDS=$${STRONGROOM_TORTURE_ROUNDS:-2000} cargo test --locked --test wire torture
	STRONGROOM_POWER_IMAGES=$${STRONGROOM_POWER_IMAGES:-160} cargo test --locked --test power

bench: ## measure what a durable commit costs beside the bare engine; needs a quiet machine and two minutes
	cargo bench --locked --bench commit

bench-rotation: ## measure how long it takes to rotate keys over 100,000 secrets; two minutes
	cargo build --release --locked
	benches/rotation.sh

check: ## check formatting, lints, and that the protos break no client
	cargo fmt --all --check
	cargo clippy --locked --all-targets --all-features -- -D warnings
	tests/proto-lint.sh

clients: ## generate the stubs of every language in clients/
	for generate in clients/*/generate.sh; do "$$generate"; done

clean: ## remove what was built and generated; never the data
	cargo clean
	git clean -qfdX clients tests
