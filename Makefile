# `make` lists what there is. .ci/run is what must pass before a change lands.
.DEFAULT_GOAL := help
FUZZTIME ?= 1m

.PHONY: help build test validity lint fuzz demo cover ci
help: ## Show this
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

build: ## Build bin/falconer
	CGO_ENABLED=0 go build -trimpath -o bin/ ./cmd/falconer

test: ## Run all tests (CI adds the race detector)
	go test ./...

validity: ## Hold what playbooks write against the tools' own types (much to compile)
	cd test/validity && go test ./...

lint: ## Format, vet and lint (needs golangci-lint 2)
	golangci-lint fmt
	golangci-lint run
	go run ./cmd/falconer rules lint --strict

fuzz: ## Fuzz each target for FUZZTIME
	FUZZTIME=$(FUZZTIME) .ci/run fuzz

demo: ## Show Falconer at work
	go run ./cmd/falconer demo

cover: ## Show in bin/cover.html what the tests do not reach
	@mkdir -p bin
	go test -coverpkg=./... -coverprofile=bin/cover.out ./...
	go tool cover -func=bin/cover.out | tail -1
	go tool cover -html=bin/cover.out -o bin/cover.html

ci: ## Run what CI runs
	.ci/run
