# Two commands: `make demo` and `make test`. Both set up .venv on a fresh clone; they need Python 3.10–3.12 and make.
VENV := .venv
BIN := $(VENV)/bin
DEMO_OUT ?= demo-out
# Processes for the tests that may run beside each other: `make test JOBS=2`.
JOBS ?= 1
# C sources that are compiled at installation, where a compiler is.
KERNELS := ros2_ws/src/offroad_seg/native_build.py $(wildcard ros2_ws/src/offroad_seg/offroad_seg/native/*.[ch])
# The first Python that is new enough and really runs; choose another with `make demo PYTHON=/path/to/python`.
PYTHON ?= $(shell for p in python3 python3.12 python3.11 python3.10; do \
  $$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && command -v $$p && break; done)
PYTHON310 ?= $(shell for p in python3.10 $(HOME)/.pyenv/versions/3.10*/bin/python; do \
  $$p -c 'import sys; sys.exit(sys.version_info[:2] != (3, 10))' 2>/dev/null && echo $$p && break; done)

.PHONY: demo test setup lint types interfaces unit oldest lock clean help

help:
	@echo "make demo     the whole chain on this machine, with a report at the end (DEMO_OUT=$(DEMO_OUT))"
	@echo "make test     lint, types and every test that can run here (JOBS=2: two at a time where they may)"
	@echo "make setup    only .venv    make oldest   the runtime on the oldest versions it supports (Python 3.10)"
	@echo "make interfaces   the ROS messages that the wheels lack, into .venv (needs g++ and cmake)   make lock   the pins"

setup: $(VENV)/.ready

$(VENV)/.ready: requirements/dev.txt requirements/bootstrap.txt pyproject.toml setup.py $(KERNELS)
	@test -n "$(PYTHON)" || { echo "error: no Python 3.10, 3.11 or 3.12 found; give one: make $(MAKECMDGOALS) PYTHON=/path/to/python"; exit 2; }
	@echo "Setting up $(VENV) with $(PYTHON) (about 5 GB, most of it PyTorch) …"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/bootstrap.txt
	@$(BIN)/uv pip install --python $(BIN)/python -r requirements/dev.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

demo: setup
	@$(BIN)/offroad-seg demo --out $(DEMO_OUT) --overwrite

test: lint types interfaces unit oldest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

# tf2_msgs, vision_msgs, nav2_msgs and bond, which the rclpy wheels lack. Without a compiler it says so; a failed build fails its test.
interfaces: setup
	@-$(BIN)/python tests/ros_interfaces/build.py

# pytest-rerunfailures comes with colcon's packages and opens a socket where pytest-xdist is there: no test is tried twice.
# With several jobs, tests that share no DDS, no clock and no cores run first, each on one thread; then all others, one after the
# other. Both runs go to their end, and each fails where it finds no test.
unit: setup interfaces
ifeq ($(JOBS),1)
	$(BIN)/python -m pytest -p no:rerunfailures
else
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -p no:rerunfailures -n $(JOBS) -m parallel; beside=$$?; \
	$(BIN)/python -m pytest -p no:rerunfailures -m "not parallel"; alone=$$?; \
	test $$beside = 0 || echo "unit: FAILED among the tests that ran beside each other (see above: pytest ended with $$beside)"; \
	test $$alone = 0 || echo "unit: FAILED among the tests that ran alone (see above: pytest ended with $$alone)"; \
	test $$beside$$alone = 00 && echo "unit: passed"
endif

# The runtime must also live with what a distribution ships (numpy 1.21, OpenCV 4.5: Ubuntu 22.04), installed as on a vehicle:
# from its own package, without the trainer. The compiled kernels are left out there, but for the tests that hold them against numpy.
oldest: setup
	@if [ -z "$(PYTHON310)" ]; then echo "oldest: skipped, no Python 3.10 here (PYTHON310=/path/to/python3.10)"; else \
	  test -f .venv-oldest/.ready -a .venv-oldest/.ready -nt requirements/oldest.txt || { \
	    $(PYTHON310) -m venv .venv-oldest && $(BIN)/uv pip install --quiet --python .venv-oldest/bin/python -r requirements/oldest.txt && \
	    touch .venv-oldest/.ready; } && \
	  rm -rf ros2_ws/src/offroad_seg/build && \
	  $(BIN)/uv pip install --quiet --python .venv-oldest/bin/python --reinstall --no-deps --no-build-isolation ./ros2_ws/src/offroad_seg && \
	  OFFROAD_SEG_NATIVE=0 .venv-oldest/bin/python -m pytest -q tests/unit/offroad_seg --ignore tests/unit/offroad_seg/ros; fi

# uv pip compile keeps the pins that are there and still fit; the first line, which says what the file is for, is kept too.
LOCK = @lock() { head=$$(head -n 1 $$1) && $(BIN)/uv pip compile --quiet --python-version 3.10 --no-annotate --no-header -o $$1 "$${@:2}" && \
  sed -i "1i $$head" $$1; }; lock
lock: SHELL := bash
lock:
	$(LOCK) requirements/dev.txt --universal --all-extras pyproject.toml
	$(LOCK) requirements/runtime.txt --universal --extra replay --extra ros pyproject.toml
	$(LOCK) requirements/oldest.txt requirements/oldest.in

clean:
	rm -rf $(VENV) .venv-oldest build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
