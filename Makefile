# What is done often. The recipes are short; scripts/setup.sh installs what they need.

DEV_DIR ?= .dev
SHARD ?= 0
SCENARIOS := smoke standard read write crud pagination spike stress soak chaos 10k
export PATH := $(PATH):$(HOME)/.cargo/bin

.DEFAULT_GOAL := help
.PHONY: help dev shards doctor clean-dev up down ps logs health migrate-status migrate-up grafana db-shell test \
	torture lint chart \
	bench bench-faults bench-live bench-partitions bench-traces schema metrics $(addprefix loadtest-,$(SCENARIOS) live)

help: ## this list
	@awk -F ':.*## ' '/^## / { printf "\n%s\n", substr($$0, 4) } \
		/^[a-z0-9-]+:.*## / { printf "  make %-19s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

## On this machine

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

# Run as root, `make dev` may have put the databases where the user postgres can go; postgres is a link then.
clean-dev: ## forgets the data of `make dev`
	@if command -v flock >/dev/null && [ -e "$(DEV_DIR)/lock" ] && ! flock -n "$(DEV_DIR)/lock" true; then \
		echo "$(DEV_DIR) is in use: stop make dev first" >&2; exit 1; fi
	@if [ -L "$(DEV_DIR)/postgres" ]; then rm -rf "$$(readlink "$(DEV_DIR)/postgres")"; fi
	@rm -rf "$(DEV_DIR)"

## In containers

up: ## the system of docker-compose.yml; ARGS=--profile=observability adds monitoring
	docker compose $(ARGS) up --build --detach

down: ## stops it, and keeps its data
	docker compose --profile observability --profile demo down

ps: ## what of it runs
	docker compose ps --all

logs: ## what it logs; ARGS names services, as in ARGS="api-0 api-1"
	docker compose logs --follow --tail 100 $(ARGS)

health: ## the state of each part, as the API processes see it
	@for api in api-0 api-1; do echo "$$api"; docker compose exec -T $$api bash -c 'exec 3<>/dev/tcp/127.0.0.1/8000 && \
		printf "GET /ready HTTP/1.0\r\n\r\n" >&3 && tail -n 1 <&3'; echo; done

migrate-status: ## which migrations are applied on each shard
	docker compose run --rm migrate migrate status

migrate-up: ## applies those that are missing
	docker compose run --rm migrate

grafana: ## starts monitoring as well, and says where Grafana is
	docker compose --profile observability up --detach
	@echo "Grafana: http://localhost:3000, as admin"

db-shell: ## psql on a shard: SHARD=2
	docker compose exec shard-$(SHARD) psql --username fowergram fowergram

## Tests

test: ## all tests, on real servers; also with the program of the release before
	@scripts/setup.sh test
	@ulimit -n "$$(ulimit -Hn)"; previous=$$(scripts/previous.sh) && set -x && \
		FOWERGRAM_PREVIOUS=$$previous cargo test --workspace

torture: ## the torture test of live updates for a minute, in place of the 15 s of make test
	@scripts/setup.sh test
	TORTURE_SECONDS=60 cargo test --workspace -- --nocapture torture::

lint: ## formatting and lints
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

chart: ## checks the Helm chart without a cluster
	@scripts/chart.sh check

## Speed

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

bench-traces: ## what traces cost when they are on
	@$(MAKE) --no-print-directory bench ARGS="--traces $(ARGS)"

## Load tests: a table, and a page with plots in target/loadtest; CLIENTS, DURATION (s) and PAUSE (ms) change them

loadtest-smoke: ## a few clients for ten seconds: whether all works
loadtest-standard: ## a usual evening: reads, some writes, event streams
loadtest-read: ## reads alone
loadtest-write: ## writes alone
loadtest-crud: ## messages that are sent, read, edited and deleted
loadtest-pagination: ## feeds that are read to their ends, page after page
loadtest-spike: ## forty times as many clients from one second to the next, and back
loadtest-stress: ## more and more clients, until the machine can't do more
loadtest-soak: ## half an hour, for what grows slowly
loadtest-chaos: ## a usual evening on which processes and servers fail one after the other
loadtest-10k: ## 10,000 clients with open connections, 2,100 requests a second in all
loadtest-live: bench-live ## the same as bench-live

$(addprefix loadtest-,$(SCENARIOS)): loadtest-%:
	@$(MAKE) --no-print-directory bench ARGS="--scenario $* $(if $(CLIENTS),--clients $(CLIENTS)) \
		$(if $(DURATION),--duration $(DURATION)) $(if $(PAUSE),--pause $(PAUSE)) $(ARGS)"

## Written from the code

schema: ## writes schema.graphql
	@cargo run --quiet -- schema > schema.graphql.part || { rm -f schema.graphql.part; exit 1; }
	@mv schema.graphql.part schema.graphql

metrics: ## writes docs/METRICS.md
	@cargo run --quiet -- metrics > docs/METRICS.md.part || { rm -f docs/METRICS.md.part; exit 1; }
	@mv docs/METRICS.md.part docs/METRICS.md
