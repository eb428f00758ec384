# make run    everything, from the prior to the Hubble constant, on this machine
# make test   the tests (minutes); make test-all adds the slow ones; make lint the style
# make help   the other targets
#
# Needs python3.11 and make, nothing else. Every target makes what it needs and a second call
# does nothing that is done already.

PYTHON ?= python3.11
CORES ?= $(shell nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)
TEST_WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
# On all cores, which pip does not do. Some packages' files are for other versions of Python: no matter.
COMPILE := $(BIN)/python -m compileall -qq -j 0 -x '/tests/' $(VENV)/lib src || true

# After a kill -9 or a power cut Snakemake's lock is left, and the next start would stop at it.
UNLOCK := @PYTHONPATH=src $(BIN)/python -m lensmill.cluster.queue unlock

# With it set, every import of TensorFlow would parse 4,000 files again.
unexport PYTHONDONTWRITEBYTECODE
# A package of the user's own must not shadow a locked one.
export PYTHONNOUSERSITE := 1

.PHONY: run dry-run lens measure figures report env test test-all lint format docs measured lock clean help
.DELETE_ON_ERROR:

run: $(VENV)/run.stamp  ## the whole workflow with the settings of config.yaml
	$(UNLOCK)
	$(BIN)/snakemake --cores $(CORES)

dry-run: $(VENV)/run.stamp  ## what `make run` would do
	$(BIN)/snakemake --cores $(CORES) --dry-run

# A table of the user's may have blanks and quotes in its name: for YAML a quote is doubled.
lens: $(VENV)/run.stamp  ## the posterior of your own lens: make lens CSV=my_lens.csv
	@test -n "$(CSV)" || { echo "Which lens? make lens CSV=my_lens.csv (docs/own_lens.md)" >&2; exit 1; }
	$(UNLOCK)
	@$(BIN)/snakemake --cores $(CORES) --quiet host reason progress \
		--config "experiments={time_delay: {lens: '$(subst ','',$(CSV))'}}" -- lens

# By way of a file: on its command line Snakemake makes text of numbers in braces.
QUOTED = '$(subst ','',$(1))'
MEASURE = image: $(call QUOTED,$(IMAGE)), psf: $(call QUOTED,$(PSF))
MEASURE += $(if $(NOISE),$(comma) noise: $(call QUOTED,$(NOISE)))
MEASURE += $(if $(PIXEL_SCALE),$(comma) pixel_scale: $(PIXEL_SCALE))
MEASURE += $(if $(SKY),$(comma) sky: $(SKY))
MEASURE += $(if $(LENS),$(comma) lens: $(call QUOTED,$(LENS)))
MEASURE += $(if $(SYSTEM),$(comma) system: $(call QUOTED,$(SYSTEM)))
MEASURE += $(if $(NETWORK),$(comma) network: $(call QUOTED,$(NETWORK)))
comma := ,

measure: $(VENV)/run.stamp  ## the mass of the lens in your image: make measure IMAGE=my.fits PSF=star.fits [NOISE= PIXEL_SCALE= SKY= NETWORK= LENS= SYSTEM=]
	@test -n "$(IMAGE)" && test -n "$(PSF)" || { echo "Which image, and which star? make measure IMAGE=my.fits PSF=star.fits" >&2; exit 1; }
	$(UNLOCK)
	@own=$$(mktemp) && trap 'rm -f "$$own"' EXIT && \
		echo "experiments: {lens_parameters: {measure: {$(MEASURE)}}}" > "$$own" && \
		$(BIN)/snakemake --cores $(CORES) --quiet host reason progress --configfile "$$own" -- measure

# Whatever code was edited since: a figure shows the results that are there.
figures: $(VENV)/run.stamp  ## all figures again, from saved results (made if they are missing)
	$(UNLOCK)
	$(BIN)/snakemake --cores $(CORES) figures --forcerun plot_figure --rerun-triggers mtime

report: $(VENV)/run.stamp  ## results/report.html: figures, captions, settings, run times
	$(BIN)/snakemake --cores 1 --report results/report.html

env: $(VENV)/run.stamp  ## the environment of the workflow, in .venv

test: $(VENV)/dev.stamp  ## the tests
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile

test-all: $(VENV)/dev.stamp  ## the tests, the slow ones as well
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile -m "slow or not slow"

lint: $(VENV)/dev.stamp  ## style of the code and of the workflow
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow/rules workflow/lookups $(wildcard src/lensmill/experiments/*/rules.smk)
	$(BIN)/snakemake --lint

format: $(VENV)/dev.stamp  ## rewrite the code in that style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow/rules workflow/lookups $(wildcard src/lensmill/experiments/*/rules.smk)

docs: $(VENV)/docs.stamp  ## these pages and more as a site: docs/_build/html/index.html
	PYTHONPATH=src $(BIN)/python -m sphinx -W --keep-going -n -q -d docs/_build/doctrees docs docs/_build/html

measured: $(VENV)/run.stamp  ## the small tables of docs/measured anew, on this machine (minutes)
	PYTHONPATH=src $(BIN)/python benchmarks/measured.py

# uv is not in the lock, since only this target uses it: `pipx install uv` puts it on the PATH.
lock:  ## requirements*.txt anew from requirements*.in, with hashes
	@command -v uv >/dev/null || { echo "make lock needs uv on the PATH: pipx install uv" >&2; exit 1; }
	uv pip compile --quiet --no-header --generate-hashes --python-version 3.11 requirements.in -o requirements.txt
	uv pip compile --quiet --no-header --generate-hashes --python-version 3.11 -c requirements.txt requirements-dev.in -o requirements-dev.txt
	uv pip compile --quiet --no-header --generate-hashes --python-version 3.11 -c requirements-dev.txt requirements-docs.in -o requirements-docs.txt

clean:  ## remove what the workflow made; the environment stays
	rm -rf results .snakemake .pytest_cache .ruff_cache docs/_build docs/_generated

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The stamps lie inside the environment: whoever removes the one removes the others.
$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not on the PATH; name yours with make PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: requirements.txt | $(BIN)/python
	@echo "Installing requirements.txt into $(VENV): about 3 GB, a few minutes"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements.txt
	$(COMPILE)
	touch $@

# The second lock contains the first (tests/test_pins.py), so it stands for both.
$(VENV)/dev.stamp: requirements-dev.txt requirements.txt | $(BIN)/python
	@echo "Installing requirements-dev.txt into $(VENV): about 3 GB, a few minutes"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements-dev.txt
	$(COMPILE)
	touch $(VENV)/run.stamp $@

# On top of either lock, with the same versions (tests/test_pins.py): thirty small packages.
$(VENV)/docs.stamp: requirements-docs.txt | $(VENV)/run.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-docs.txt
	touch $@

-include cluster.mk
