# The front door. `make` alone says what there is.

PREFIX ?= /usr
DESTDIR ?=
DAEMON ?= tcmud
ORACLE ?=
COMPAT ?=
SWIFT ?= swift
JOB ?=

formatted = $(wildcard Sources Tests Benchmarks) Package.swift

.PHONY: help build release test lint format lab gateway-lab ha-lab hostile-lab conformance demo bench bench-ring bench-check fuzz install deb doc clean

help: ## say what there is
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 20

build: ## build tcmud for debugging
	$(SWIFT) build --product tcmud

release: ## build tcmud for use: optimised, the Swift runtime inside
	$(SWIFT) build -c release --static-swift-stdlib --product tcmud

test: ## packages, build, unit tests and all lab jobs; ends with "N passed, N failed"
	@DAEMON=$(DAEMON) Tests/Lab/test

lint: ## style, without changing anything
	$(SWIFT) format lint --strict --recursive $(formatted)

format: ## style, put right in place
	$(SWIFT) format --in-place --recursive $(formatted)

lab: ## one lab job: make lab JOB=file-lun [DAEMON=tcmu-runner]; without JOB the list of them
	@if [ -z "$(JOB)" ]; then Tests/Lab/lab list; else Tests/Lab/lab run $(JOB) --daemon $(DAEMON); fi

gateway-lab: ## a whole Ceph iSCSI gateway, ceph-iscsi unmodified; ORACLE=1 also with the original, and compares
	@ORACLE=$(ORACLE) Tests/Lab/gateway/run $(ARGS)

ha-lab: ## two gateways, an initiator, failures while it writes: CASES="a g", ORACLE=1, ARGS=--help
	@CASES="$(CASES)" ORACLE="$(ORACLE)" Tests/Lab/ha/run $(ARGS)

hostile-lab: ## a hostile initiator on one LUN, a neighbour at verified work, 20 minutes each on a file and on RBD: SECONDS=60, ARGS="--binary PATH"
	@SECONDS_EACH=$(or $(SECONDS),1200) Tests/Lab/hostile/run $(ARGS)

conformance: ## public SCSI suite against ours, the kernel's fileio and the original; writes docs/conformance.md
	@Tests/Lab/conformance/run $(ARGS)

demo: ## from nothing to a SCSI disk on Ceph; HOST=1 on this machine's own kernel
	@DAEMON=$(DAEMON) HOST=$(HOST) Tests/Lab/demo

bench: ## tcmud, the original and fio side by side as processes; writes Benchmarks/RESULTS.md: ARGS="--rounds 5"
	@Benchmarks/Native/run $(ARGS)

bench-ring: ## one loop thread on the ring simulator: commands per second, CPU and heap allocations per command
	$(SWIFT) run -c release ring-bench

bench-check: ## has the data path become dearer? instructions and time per command; ARGS=--update writes thresholds
	@Benchmarks/InProcess/check $(ARGS)

fuzz: ## hostile input to decoders, parameter lists, configuration texts and a whole unit, a minute each
	Tests/Fuzz/fuzz.sh

install: release ## tcmud, its unit and bus policy into DESTDIR and PREFIX; COMPAT=1 also as tcmu-runner
	@systemd/install "$$($(SWIFT) build -c release --static-swift-stdlib --show-bin-path)/tcmud" \
		"$(PREFIX)" "$(DESTDIR)" "$(COMPAT)"

deb: ## a Debian package (not made yet)
	@echo "make deb: not there yet, the Debian package comes with the service files" >&2; exit 2

doc: ## the API's documentation (not made yet)
	@echo "make doc: not there yet" >&2; exit 2

clean: ## remove what builds and labs made
	rm -rf .build .lab
