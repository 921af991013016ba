# `make` alone lists the targets.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test dist conformance check fuzz torture bench bench-quick bench-access bench-commit bench-load bench-openbao bench-reads bench-overload bench-replicas bench-rotation bench-size bench-watch bench-clients profile clients clients-smoke clean

CARGO_TARGET_DIR ?= target
FUZZ_SECONDS ?= 60

##@ To use Strongroom

run: ## build the server and start it on 127.0.0.1:50051, with its data in ./strongroom-data
	cargo build --release --locked
	exec "$(CARGO_TARGET_DIR)/release/strongroom" serve

test: ## run every test: the Rust suites, the documents' commands and the clients, against real servers
	tests/run.sh

dist: ## build the files of a release into target/dist: tarball, Debian package, bill of materials, checksums
	cargo build --release --locked
	deploy/dist/dist.sh "$(CARGO_TARGET_DIR)/release/strongroom" "$(CARGO_TARGET_DIR)/dist"

conformance: ## play the conformance scenario in every client library, against the last `cargo build`
	clients/conformance/run

##@ To change Strongroom

check: ## check formatting, lints, dependencies, and that the protos break no client
	tests/check.sh

fuzz: ## fuzz each parser for FUZZ_SECONDS (60): hostile bytes in the store, in backups, in references
	fuzz/run.sh $(FUZZ_SECONDS)

torture: ## repeat tests many times: servers killed, also while watched, faults among replicas and etcd, power lost
	STRONGROOM_TORTURE_ROUNDS=$${STRONGROOM_TORTURE_ROUNDS:-2000} cargo test --locked --test wire torture
	STRONGROOM_WATCH_KILLS=$${STRONGROOM_WATCH_KILLS:-50} cargo test --locked --test wire watch::kills
	STRONGROOM_FAULT_ROUNDS=$${STRONGROOM_FAULT_ROUNDS:-50} cargo test --locked --test wire -- consistency::faults consistency::packets
	STRONGROOM_POWER_IMAGES=$${STRONGROOM_POWER_IMAGES:-160} cargo test --locked --test power

bench: ## measure everything with a goal but what stands beside OpenBao, into bench-results.json; needs a quiet machine, and long
	rm -f bench-results.json
	cargo bench --locked --bench reads --bench commit --bench watch --bench overload
	cat bench-results.json

bench-quick: ## the same with 100,000 secrets in place of 1,000,000, and in shorter rounds
	STRONGROOM_BENCH_QUICK=1 $(MAKE) bench

bench-commit: ## measure the cost of a durable commit beside the bare engine; needs a quiet machine and two minutes
	cargo bench --locked --bench commit

bench-reads: ## measure what reads cost beside a bare echo, and among many secrets; BENCH_ARGS=get measures some of them
	cargo bench --locked --bench reads -- $(BENCH_ARGS)

bench-load: ## measure latency by load, also of a server of yours, and each RPC's cost by the number of secrets; BENCH_ARGS=--help
	cargo bench --locked --bench load -- $(BENCH_ARGS)

bench-openbao: ## measure reads and rewrites beside OpenBao, of which STRONGROOM_BENCH_BAO is the path; some minutes
	cargo bench --locked --bench openbao

profile: ## show where the time of a Get goes, with perf; CONTRIBUTING.md says how to read it
	benches/profile.sh

bench-access: ## measure a decision among many bindings; ten seconds
	cargo bench --locked --bench access

bench-overload: ## measure the service under three times its capacity; needs a quiet machine and four minutes
	cargo bench --locked --bench overload -- $(BENCH_ARGS)

bench-watch: ## measure 1,000 watches: their memory, and how soon each has an event; a minute
	cargo bench --locked --bench watch

bench-replicas: ## measure creates through 1, 2 and 3 replicas over one etcd, and a start over 100,000 secrets; some minutes
	cargo bench --locked --bench replicas
	STRONGROOM_BENCH_SECRETS=$${STRONGROOM_BENCH_SECRETS:-100000} cargo bench --locked --bench replicas

bench-rotation: ## measure the time to rotate keys over 100,000 secrets; two minutes
	cargo build --release --locked
	benches/rotation.sh

bench-size: ## measure the memory and the disk that up to 100,000 secrets take; some minutes
	cargo build --release --locked
	benches/size.sh

bench-clients: ## measure the clients: reads of their caches, and 10,000 reads beside the bare stub; some minutes
	cargo bench --locked --bench client -- --check
	go test -C clients/go -run '^$$' -bench .
	clients/java/bench.sh --check
	clients/node/build.sh
	clients/python/build.sh
	cargo build --release --locked
	STRONGROOM_BIN=$(CARGO_TARGET_DIR)/release/strongroom tests/with-server.sh npm --prefix clients/node run --silent bench -- --check
	STRONGROOM_BIN=$(CARGO_TARGET_DIR)/release/strongroom tests/with-server.sh clients/python/.venv/bin/python clients/python/bench/gets.py --check

clients: ## generate the stubs of every language in clients/, and the descriptor set
	clients/generate.sh

clients-smoke: ## compile the stubs of C++, Ruby, PHP and Kotlin, and make a call with them, against the last `cargo build`
	tests/with-server.sh clients/smoke.sh

clean: ## remove everything that was built or generated, but not the data
	cargo clean
	git clean -qfdX clients fuzz tests

help: ## list the targets (this)
	@bold='' plain=''; if [[ -t 1 ]]; then bold=$$'\e[1;36m' plain=$$'\e[0m'; fi; \
	sed -n 's/^##@ \(.*\)/\1/p; s/^\([a-z-]*\):[^#]*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r target text; do \
		if [[ -z $$text ]]; then printf '%s:\n' "$$target"; \
		else printf '  %smake %-14s%s %s\n' "$$bold" "$$target" "$$plain" "$$text"; fi; \
	done
