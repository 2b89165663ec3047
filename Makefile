# Two commands matter: `make demo` shows what this is, `make test` proves that it works.
# What they need beyond Rust and Python they install under $(CACHE), never in the checkout.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/iam-user-controller
export CARGO_TARGET_DIR ?= $(CACHE)/target
export CARGO_NET_RETRY ?= 10
# No __pycache__ in the checkout.
export PYTHONDONTWRITEBYTECODE := 1

PYTHON := $(CACHE)/venv/bin/python
CARGO_DENY := $(CACHE)/tools/bin/cargo-deny
INSTALL := tests/tools/install
# Tests mostly wait for the clock, so more of them than processors.
E2E_WORKERS ?= 4
# pytest's exit code 5, "no test selected", is right for one of the two runs when E2E picks tests.
NONE_IS_FINE = $(if $(E2E),|| [ $$? = 5 ])

.PHONY: help
help: ## This list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r target text; do printf '  make %-12s %s\n' "$$target" "$$text"; done

.PHONY: demo
demo: ## Watch it work on an AWS emulator: user, key, rotation, removal. DEMO_SECONDS=90 ends by itself
	@$(INSTALL) python
	@echo 'demo: building the program (release; some minutes the first time, seconds later)'
	@cargo build --release --locked
	@exec $(PYTHON) tests/demo/demo.py

.PHONY: build
build: ## The release binary
	cargo build --release --locked

.PHONY: test
test: lint rust-test e2e ## Everything: lint, Rust tests, end-to-end tests of the release binary

.PHONY: lint
lint: ## Formatting, clippy, and the licences, sources, bans and advisories of dependencies
	@$(INSTALL) cargo-deny
	cargo fmt --check
	cargo clippy --all-targets --locked -- -D warnings
	cargo clippy --test emulators --locked -- -D warnings
	$(CARGO_DENY) --log-level error check licenses bans sources
	@if GIT_TERMINAL_PROMPT=0 timeout 120 $(CARGO_DENY) fetch db >/dev/null 2>&1; then \
	    echo '$(notdir $(CARGO_DENY)) check advisories'; $(CARGO_DENY) --log-level error check --disable-fetch advisories; \
	else \
	    echo 'lint: the advisory database cannot be had from here; advisories were NOT checked'; \
	fi

.PHONY: rust-test
rust-test: ## Unit, model and simulation tests (cargo nextest where there is one, else cargo test)
	@if cargo nextest --version >/dev/null 2>&1; then \
	    echo 'cargo nextest run'; cargo nextest run --locked --no-fail-fast; \
	else \
	    echo 'cargo test'; cargo test --locked --no-fail-fast; \
	fi

# SEED=n tells one history. The histories of a seed are the same on every machine.
SEEDS ?= 10000
FROM ?= 0
.PHONY: simulate
simulate: ## Random histories of the program on a simulated account. SEEDS=100000 for more, SEED=7 tells one
	SEEDS=$(SEEDS) FROM=$(FROM) SEED=$(SEED) cargo test --release --locked --test simulation -- --exact --nocapture swarm::random_histories

# What takes too long for every change. Each part can be made alone: make long-pairs.
LONG_PARTS ?= seeds faults pairs freezes wrong year e2e
.PHONY: long
long: $(addprefix long-,$(LONG_PARTS)) ## What takes too long for CI, some hours. LONG_PARTS='seeds wrong' or make long-seeds for a part

# $(call part,what it is,command): says that, and how long it took.
part = @echo 'long: $(1)'; $(2); echo "long: $(1): $$((SECONDS / 60)) min $$((SECONDS % 60)) s"
simulation = cargo test --release --locked --test simulation -- --nocapture --test-threads=1

.PHONY: long-seeds
long-seeds: LONG_SEEDS = $(if $(filter file,$(origin SEEDS)),300000,$(SEEDS))
long-seeds:
	$(call part,$(LONG_SEEDS) random histories,SEEDS=$(LONG_SEEDS) FROM=$(FROM) SEED= $(simulation) --exact swarm::random_histories)

.PHONY: long-faults
long-faults:
	$(call part,every fault at every call of every story,STRIDE=1 $(simulation) matrix::every_fault_at_every_call_of_every_story)

.PHONY: long-pairs
long-pairs:
	$(call part,every pair of faults in the principal stories,PAIR_STRIDE=1 $(simulation) matrix::every_pair_of_faults)

.PHONY: long-freezes
long-freezes:
	$(call part,leaders that stand still at every call,FREEZE_STRIDE=1 $(simulation) replicas:: flapping::)

.PHONY: long-wrong
long-wrong:
	$(call part,wrong versions within 10000 random histories,$(simulation) wrong::)

.PHONY: long-year
long-year:
	$(call part,a year with 200 users,$(simulation) year::)

.PHONY: long-e2e
long-e2e: export LONG := 1
long-e2e:
	$(call part,end-to-end tests at length,$(MAKE) --no-print-directory e2e)

.PHONY: e2e
e2e: build ## End-to-end tests: the release binary against emulators. E2E='-k brake' picks some
	@$(INSTALL) python fakecloud
	$(PYTHON) -m pytest tests/e2e -v -m 'not timing' -n $(E2E_WORKERS) $(E2E) $(NONE_IS_FINE)
	$(PYTHON) -m pytest tests/e2e -v -m timing -s $(E2E) $(NONE_IS_FINE)

.PHONY: infra
infra: build ## Terraform module, role, alerts, dashboard and image: installs Debian packages, takes long
	@tests/infra/run

.PHONY: fmt
fmt: ## Format the Rust code
	cargo fmt

.PHONY: clean-cache
clean-cache: ## Remove everything that these commands installed or built outside the checkout
	rm -rf '$(CACHE)'
