# Two commands do everything on a machine that has Python, a C compiler and the Rust toolchain:
#   make demo    sets up, builds, and runs the course-subscription example on a store directory
#   make test    sets up, builds, and runs all tests
# A second run of each is quick: `.venv` and `target` are kept.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUST := $(shell find rust -name '*.rs' -o -name Cargo.toml) Cargo.toml Cargo.lock
WHEEL := pyproject.toml $(shell find python -name '*.py' -o -name '*.pyi') tests/wheel_check.py
# cargo-nextest where it is installed; it runs the same tests as `cargo test`.
CARGO_TEST := $(shell cargo nextest --version >/dev/null 2>&1 && echo "nextest run" || echo test)

# Runs a command that says a lot; what it says is shown only if it fails.
quietly = said=$$($(1) 2>&1) || { printf '%s\n' "$$said"; exit 1; }

.PHONY: demo test lint bench bench-quick bench-install soak seeded format clean rust-test python-test wheel-test

demo: $(VENV)/built
	$(BIN)/python -m examples.demo

test: rust-test python-test wheel-test

rust-test:
	cargo $(CARGO_TEST) -p counterpoint
	cargo test -q --doc -p counterpoint

python-test: $(VENV)/built
	@tests/disks/packages
	$(BIN)/python -m pytest -q -rs

# The wheel as a user gets it: alone in a new environment, away from this directory.
wheel-test: $(VENV)-wheel/tested

$(VENV)-wheel/tested: $(VENV)/ready $(RUST) $(WHEEL)
	@echo "building the wheel and trying it in an environment of its own ..."
	@rm -rf dist $(VENV)-wheel
	@$(call quietly,$(BIN)/maturin build --release --out dist)
	@$(PYTHON) -m venv $(VENV)-wheel
	@$(VENV)-wheel/bin/pip install --quiet dist/*.whl
	cd / && $(CURDIR)/$(VENV)-wheel/bin/python -W error $(CURDIR)/tests/wheel_check.py
	@touch $@

lint: $(VENV)/built
	cargo fmt --check
	cargo fmt --check --manifest-path benches/rust/Cargo.toml
	cargo fmt --check --manifest-path rust/core/fuzz/Cargo.toml
	cargo clippy --quiet --workspace --all-targets -- -D warnings
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest counterpoint._engine

format:
	cargo fmt
	cargo fmt --manifest-path benches/rust/Cargo.toml
	cargo fmt --manifest-path rust/core/fuzz/Cargo.toml
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# Everything that is measured, results in .bench/, plots in docs/plots/. Says what it left out, and why.
bench: $(VENV)/built bench-install
	cargo bench -p counterpoint
	$(BIN)/python -m pytest -q benches --benchmark-enable --benchmark-only
	$(BIN)/python -m benches.table
	$(BIN)/python -m benches.engines
	$(BIN)/python -m benches.growth
	$(BIN)/python -m benches.plots

# The same at tiny sizes, in a minute, to see that everything works; plots and results in .bench/quick/.
bench-quick: $(VENV)/built bench-install
	$(BIN)/python -m benches.table --quick --directory .bench/quick
	$(BIN)/python -m benches.engines --quick --directory .bench/quick
	$(BIN)/python -m benches.growth --quick --directory .bench/quick
	$(BIN)/python -m benches.plots --directory .bench/quick --plots .bench/quick

bench-install: $(VENV)/built
	@$(BIN)/python -m benches.install

# The long forms of the randomised tests. COUNTERPOINT_SEED repeats a run; the seed is printed. Those that could go on for
# ever take shares of COUNTERPOINT_SOAK_SECONDS (3600), and say how far they got.
soak: export COUNTERPOINT_SOAK := 1
soak: export COUNTERPOINT_SEED := $(or $(COUNTERPOINT_SEED),$(shell date +%s))
soak: export COUNTERPOINT_SOAK_SECONDS := $(or $(COUNTERPOINT_SOAK_SECONDS),3600)
soak: $(VENV)/built
	@echo "COUNTERPOINT_SEED=$(COUNTERPOINT_SEED) COUNTERPOINT_SOAK_SECONDS=$(COUNTERPOINT_SOAK_SECONDS)"
	@tests/disks/packages
	PROPTEST_CASES=20000 PROPTEST_RNG_SEED=$(COUNTERPOINT_SEED) cargo test --release -p counterpoint -- --show-output
	$(BIN)/python -m pytest --timeout 0

# Bugs put into a copy of the engine, one at a time, to see that the tests notice each. About ten minutes.
seeded: $(VENV)/ready
	$(BIN)/python -m tests.seeded

$(VENV)/ready: pyproject.toml
	@echo "setting up $(VENV) ..."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/pip install --quiet 'maturin>=1.16,<2' --group test --group lint
	touch $@

$(VENV)/built: $(VENV)/ready $(RUST)
	@echo "building the engine, about a minute the first time ..."
	@$(call quietly,VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/maturin develop --release)
	@touch $@

clean:
	rm -rf $(VENV) $(VENV)-wheel target dist .demo .bench
