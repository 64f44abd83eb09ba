PYTHON ?= python3
VENV = .venv
BIN = $(VENV)/bin
# JAX and torch, without TensorFlow
OTHERS = .venv-others
# JAX and the problems of CUTEst
CUTEST = .venv-cutest

# what `make compare` sets side by side: in full batches, and in mini-batches
FULL = batch:=batch_gd@momentum=0.0,batch_momentum:=momentum,batch_nesterov:=nesterov,batch_muon:=muon,batch_sign_momentum:=sign_momentum,batch_lbfgs:=lbfgs,batch_cg:=nonlinear_cg
MINI = @gradient_accumulation_steps=1
OPTIMIZERS = momentum:=momentum$(MINI),nesterov:=nesterov$(MINI),adagrad,rmsprop,adam,muon:=muon$(MINI),sign_momentum:=sign_momentum$(MINI)

.PHONY: run test test-all coverage lint bench bench-cifar bench-cutest bench-search compare exactness docs notebooks fuzz

run: $(VENV)/ready  ## train a CNN on the whole training set behind every update
	$(BIN)/python -m recipes train cifar10_cnn --data digits

# tests on each backend, those that `-m` takes; with FILE=tests/... of one file, on BACKEND or else TensorFlow
PYTEST = $(COVER) -m pytest -n 2 --dist worksteal
ifeq ($(origin FILE),command line)
define tests
KERAS_BACKEND=$(or $(BACKEND),tensorflow) $(if $(filter jax torch,$(BACKEND)),$(OTHERS),$(VENV))/bin/python $(PYTEST) $(1) $(FILE)
endef
else
ifdef BACKEND
$(error BACKEND is of one file: make test FILE=tests/backends/... BACKEND=$(BACKEND))
endif
define tests
KERAS_BACKEND=jax $(OTHERS)/bin/python $(PYTEST) $(1) tests/backends
KERAS_BACKEND=torch $(OTHERS)/bin/python $(PYTEST) $(1) tests/backends tests/benchmarks
$(BIN)/python $(PYTEST) $(1)
endef
endif
# else each process would compile the project's modules, and rewrite the assertions of all tests, anew
unexport PYTHONDONTWRITEBYTECODE

test: $(VENV)/ready-test $(OTHERS)/ready  ## all tests but the slow ones, those of the backends on each; or of FILE=tests/...
	$(call tests)

test-all: $(VENV)/ready-test $(OTHERS)/ready  ## the slow ones too, compiled as users compile; over an hour on old cores
	$(call tests,-m "")

coverage: COVER = -m coverage run
coverage: export COVERAGE_FILE = $(CURDIR)/.coverage
coverage: $(VENV)/ready-test $(OTHERS)/ready  ## lines and branches that `make test` runs, those of subprocesses and forks too
	$(BIN)/python -m coverage erase
	$(call tests)
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report --skip-covered

lint: $(VENV)/ready-test  ## style
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

bench: $(VENV)/ready-bench $(OTHERS)/ready  ## time of a micro-batch, of an update and of a pass, memory of an update, evaluations of L-BFGS
	$(BIN)/python -m benchmarks.accumulation
	$(BIN)/python -m benchmarks.memory
	$(BIN)/python -m benchmarks.update
	KERAS_BACKEND=jax $(OTHERS)/bin/python -m benchmarks.accumulation_jax
	KERAS_BACKEND=jax $(OTHERS)/bin/python -m benchmarks.update
	$(BIN)/python -m benchmarks.passes
	KERAS_BACKEND=jax $(OTHERS)/bin/python -m benchmarks.passes
	KERAS_BACKEND=torch $(OTHERS)/bin/python -m benchmarks.passes
	$(BIN)/python -m benchmarks.functions
	KERAS_BACKEND=jax $(OTHERS)/bin/python -m benchmarks.functions
	KERAS_BACKEND=torch $(OTHERS)/bin/python -m benchmarks.functions
	$(BIN)/python -m benchmarks.step_sizes
	$(BIN)/python -m benchmarks.lbfgs
	KERAS_BACKEND=jax $(OTHERS)/bin/python -m benchmarks.lbfgs
	KERAS_BACKEND=torch $(OTHERS)/bin/python -m benchmarks.lbfgs
	$(BIN)/python -m benchmarks.lbfgs_update
	KERAS_BACKEND=jax $(OTHERS)/bin/python -m benchmarks.lbfgs_update
	KERAS_BACKEND=torch $(OTHERS)/bin/python -m benchmarks.lbfgs_update
	$(BIN)/python -m benchmarks.dense_update
	KERAS_BACKEND=jax $(OTHERS)/bin/python -m benchmarks.dense_update
	KERAS_BACKEND=torch $(OTHERS)/bin/python -m benchmarks.dense_update

bench-cifar: $(VENV)/ready-bench $(OTHERS)/ready  ## the fast CIFAR-10 recipe beside torch, an hour; DATA_DIR=DIR of tensorflow-datasets
	$(BIN)/python -m benchmarks.cifar10 $(OTHERS)/bin/python $(if $(DATA_DIR),--data-dir $(DATA_DIR))

bench-cutest: $(CUTEST)/ready  ## L-BFGS, BFGS and conjugate gradients beside SciPy's on 118 problems of CUTEst, a quarter of an hour, can be interrupted
	$(CUTEST)/bin/python -m benchmarks.cutest

bench-search: $(VENV)/ready-bench  ## searches: what a trial costs, and algorithms replayed on tables of trainings; hours, can be interrupted
	$(BIN)/python -m benchmarks.tuning_cost
	$(BIN)/python -m benchmarks.tuning_table digits
	$(BIN)/python -m benchmarks.tuning_table cifar10 $(if $(DATA_DIR),--data-dir $(DATA_DIR))
	$(BIN)/python -m benchmarks.tuning_replay
	$(BIN)/python -m benchmarks.tuning_check digits
	$(BIN)/python -m benchmarks.search_kills  # as root, with PostgreSQL

compare: $(VENV)/ready  ## optimizers side by side on the digits, each for eight seconds of training, and on regressions; two hours
	$(BIN)/python -m recipes compare cifar10_cnn --run-dir runs/compare --budget seconds=8 --trials 6 --seeds 5 --target 0.95 --target-loss 1 \
	--optimizers "$(FULL),mini_batch:=sgd@momentum=0.0,stochastic:=sgd@momentum=0.0@batch_size=1,$(OPTIMIZERS)"
	$(BIN)/python -m benchmarks.full_batch_digits
	$(BIN)/python -m benchmarks.full_batch_methods
	$(BIN)/python -m benchmarks.full_batch_methods --seconds

exactness: $(VENV)/ready $(OTHERS)/ready  ## micro-batches against the whole, on every backend
	$(BIN)/python -m benchmarks.exactness $(OTHERS)/bin/python

docs: $(VENV)/ready-docs  ## all pages and the reference, in site/; a broken link or an undocumented name is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

# what libraries of C++ log when they are loaded goes to the terminal, and not into the notebooks
notebooks: $(VENV)/ready-notebooks  ## run all notebooks, and store what they show
	mkdir -p $(VENV)/ipython/profile_default
	echo "c.IPKernelApp.capture_fd_output = False" > $(VENV)/ipython/profile_default/ipython_kernel_config.py
	IPYTHONDIR=$(VENV)/ipython TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/jupyter execute --inplace notebooks/*.ipynb

fuzz: $(VENV)/ready-test  ## 10,000 command lines and files that are wrong
	FUZZ_CASES=10000 $(BIN)/python -m pytest -n 2 --dist worksteal -m "" tests/recipes/test_fuzz.py

$(VENV)/ready: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .[tensorflow]
	touch $@

$(VENV)/ready-%: $(VENV)/ready
	$(BIN)/python -m pip install --quiet --editable .[tensorflow,$*]
	touch $@

$(OTHERS)/ready: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(OTHERS)
	$(OTHERS)/bin/python -m pip install --quiet --editable .[jax,torch,test-others]
	touch $@

$(CUTEST)/ready: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(CUTEST)
	$(CUTEST)/bin/python -m pip install --quiet --editable .[jax,cutest]
	touch $@
