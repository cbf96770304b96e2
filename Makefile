# What a newcomer and CI call. Each target is one line of meaning; the work is in scripts/.
.PHONY: run test check bench services torture audit help fuzz-api

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: ## one process with everything, demo app and simulated providers, data in ./data
	cargo run --quiet -- serve

check: ## formatting, lints, documentation and our own rules: all that CI asks besides the tests
	@scripts/check

test: ## every test; PostgreSQL, Redis, Kafka and ChromeDriver are started privately for it
	@scripts/services run cargo test --workspace

services: ## install, start and keep those servers, and print their addresses (scripts/services stop)
	@scripts/services start

torture: ## kill, freeze and cut every process and server under load; prints the table of docs/RELIABILITY.md
	@scripts/torture

bench: ## measure against a bare relay and print figures
	@scripts/bench

audit: ## unused dependencies, licences, sources
	@scripts/audit

fuzz-api: ## what the OpenAPI document allows and what it does not, sent to a running instance by an outside tool
	@scripts/fuzz-api
