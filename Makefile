# What is done often. The recipes are short; scripts/setup.sh installs what they need.

DEV_DIR ?= .dev
export PATH := $(PATH):$(HOME)/.cargo/bin

.DEFAULT_GOAL := help
.PHONY: help dev shards doctor test torture lint chart bench bench-faults bench-live bench-partitions schema metrics clean-dev

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

dev: ## everything on this machine, with a demo network; PORT and DEV_DIR say where
	@scripts/setup.sh dev
	@cargo build
	@exec cargo run --quiet -- dev

shards: ## what lies on which shard of a running `make dev`
	@[ -e "$(DEV_DIR)/env" ] || { echo "there is no $(DEV_DIR)/env: start make dev first" >&2; exit 1; }
	@set -a; . "$(DEV_DIR)/env"; set +a; exec cargo run --quiet -- shards list $(ARGS)

doctor: ## whether the data of a running `make dev` agrees with itself; ARGS=--fix mends it
	@[ -e "$(DEV_DIR)/env" ] || { echo "there is no $(DEV_DIR)/env: start make dev first" >&2; exit 1; }
	@set -a; . "$(DEV_DIR)/env"; set +a; LOG=warn exec cargo run --quiet -- doctor $(ARGS)

test: ## all tests, on real servers
	@scripts/setup.sh test
	cargo test --workspace

torture: ## the torture test of live updates for a minute, in place of the 15 s of make test
	@scripts/setup.sh test
	TORTURE_SECONDS=60 cargo test --workspace -- --nocapture torture::

lint: ## formatting and lints
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

chart: ## checks the Helm chart without a cluster
	@scripts/chart.sh check

bench: ## the load test, in release mode; ARGS goes to it, as in ARGS=--quick
	@scripts/setup.sh test
	@cargo build --release -p fowergram -p loadtest
	@ulimit -n "$$(ulimit -Hn)"; exec cargo run --release --quiet -p loadtest -- $(ARGS)

bench-faults: ## what a killed and a frozen shard do to the users of the others
	@$(MAKE) --no-print-directory bench ARGS="--faults --connections 20 --users 100 --posts 200 $(ARGS)"

bench-live: ## one event to 2,000 sockets, and the memory of 5,000 idle ones
	@$(MAKE) --no-print-directory bench ARGS="--live $(ARGS)"

bench-partitions: ## what native partitions would do to the large tables; ARGS names some, as in ARGS=likes
	@scripts/setup.sh test
	@scripts/bench-partitions.sh $(ARGS)

schema: ## writes schema.graphql
	@cargo run --quiet -- schema > schema.graphql.part || { rm -f schema.graphql.part; exit 1; }
	@mv schema.graphql.part schema.graphql

metrics: ## writes docs/METRICS.md
	@cargo run --quiet -- metrics > docs/METRICS.md.part || { rm -f docs/METRICS.md.part; exit 1; }
	@mv docs/METRICS.md.part docs/METRICS.md

# Run as root, `make dev` may have put the databases where the user postgres can go; postgres is a link then.
clean-dev: ## forgets the data of `make dev`
	@if command -v flock >/dev/null && [ -e "$(DEV_DIR)/lock" ] && ! flock -n "$(DEV_DIR)/lock" true; then \
		echo "$(DEV_DIR) is in use: stop make dev first" >&2; exit 1; fi
	@if [ -L "$(DEV_DIR)/postgres" ]; then rm -rf "$$(readlink "$(DEV_DIR)/postgres")"; fi
	@rm -rf "$(DEV_DIR)"
