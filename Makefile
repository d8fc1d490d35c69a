# Pet. `make demo` trains, `make test` tests; each sets up all it needs. `make help` lists the rest.

# python3 if it will do, else the newest that is installed.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1 && echo $$p && break; done)
TORCH_INDEX ?=
BIN := .venv/bin
# Two threads per rank are several times slower than one on shared cores.
export OMP_NUM_THREADS ?= 1

.PHONY: help demo playground test lint test-unit test-component test-integration test-reliability test-soak test-gpu bench bench-operator bench-trainer programs format generate record lock clean check-demo check-test

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-18s %s\n", $$1, $$2 }' Makefile

demo: check-demo .venv/.ready ## train a classifier on Fashion-MNIST, two CPU ranks, about two minutes
	$(BIN)/pet data fetch fashion-mnist
	$(BIN)/pet run --local -f crds/samples/fashion-mnist.yaml

playground: check-demo .venv/.ready ## a Kubernetes control plane with the operator on this machine, until Ctrl-C (Linux)
	PYTHONPATH=tests $(BIN)/python -m testbed.playground

test: check-test .venv/.ready lint test-unit test-component test-integration ## everything that a fresh machine can run

lint: .venv/.ready ## ruff, mypy --strict, import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

test-unit: .venv/.ready ## pure code
	$(BIN)/pytest tests/unit --numprocesses 2

test-component: .venv/.ready ## real processes: launcher, ranks, checkpoints, a sample of the faults
	$(BIN)/pytest tests/component --numprocesses 2 --dist worksteal

# A file by one process, each with control planes of its own: they wait more than they compute.
test-integration: programs ## a real control plane: command line, operator, nodes (Linux)
	$(BIN)/pytest tests/integration --numprocesses 2 --dist loadfile

# Not by a test that needs them: it would be timed out on a slow machine.
programs: .venv/.ready ## etcd and Kubernetes for the tests, built from source once, in some ten minutes
	PYTHONPATH=tests $(BIN)/python -m testbed.programs

test-reliability: programs ## every fault with all its repetitions, then test-soak; many hours
	$(BIN)/pytest tests/reliability
	$(MAKE) test-soak

# All four side by side, with time to spare between their steps. PET_SOAK_MINUTES=5 is a first look.
test-soak: .venv/.ready ## long trainings with a fault every half minute, and one with pauses; about two hours
	$(BIN)/pytest tests/soak -rP --numprocesses 4

# Not part of `test`: without a card it fails and says so.
test-gpu: .venv/.ready ## what needs a CUDA device, one is enough; some minutes
	$(BIN)/pytest tests/gpu --numprocesses 4

bench: .venv/.ready ## figures as ratios in one run
	PYTHONPATH=tests $(BIN)/python tests/bench/loop_overhead.py
	PYTHONPATH=tests $(BIN)/python tests/bench/loop_parts.py

bench-operator: programs ## the operator beside a raw loop that makes the same objects, on a real API server
	PYTHONPATH=tests $(BIN)/python tests/bench/operator_throughput.py
	PYTHONPATH=tests $(BIN)/python tests/bench/operator_scale.py
	PYTHONPATH=tests $(BIN)/python tests/bench/operator_running.py

bench-trainer: .venv-bench/.ready ## the trainer beside other trainers, ways to save and loaders; half an hour
	PYTHONPATH=tests .venv-bench/bin/python tests/bench/trainer_loops.py
	PYTHONPATH=tests .venv-bench/bin/python tests/bench/trainer_checkpoints.py
	PYTHONPATH=tests .venv-bench/bin/python tests/bench/trainer_recovery.py
	PYTHONPATH=tests .venv-bench/bin/python tests/bench/trainer_input.py
	PYTHONPATH=tests .venv-bench/bin/python tests/bench/trainer_gpu.py

format: .venv/.ready ## let ruff format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

generate: .venv/.ready ## write anew what is derived from the code: the catalogue of configurations, the references
	$(BIN)/python -m pet.config.catalogue
	$(BIN)/python -m pet.config.reference >docs/configuration.md
	$(BIN)/python hack/resource_reference.py >docs/resource.md
	$(BIN)/python hack/reasons_reference.py >docs/reasons.md

record: .venv/.ready ## let real launchers tell anew what the operator's tests are fed with
	PYTHONPATH=tests:trainer $(BIN)/python -m harness.recording

lock: .venv/.ready ## resolve pyproject.toml into requirements.lock anew, with uv
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
		--upgrade --quiet --output-file requirements.lock

clean: ## remove the environment and what tools left; data, runs and checkpoints stay
	rm -rf .venv .venv-bench build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

check-demo:
	@hack/prerequisites.sh "$(PYTHON)" 10

check-test:
	@hack/prerequisites.sh "$(PYTHON)" 40

.venv/.ready: requirements.lock pyproject.toml hack/setup.sh
	@hack/setup.sh "$(PYTHON)" "$(TORCH_INDEX)"

.venv-bench/.ready: .venv/.ready tests/bench/peers.txt hack/peers.sh
	@hack/peers.sh
