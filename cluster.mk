# Targets for clusters, included by the Makefile. docs/cluster.md explains them.

PROFILE ?= slurm
BUNDLE ?= lensmill-bundle.tar.gz
SLURM_TESTS ?= not slow

.PHONY: doctor status resume archive verify pin-conda test-slurm test-slurm-all

# With whatever Python there is, since a broken environment is what it is for.
doctor:  ## what is wrong with this machine, in ten seconds
	@if [ -x $(BIN)/python ]; then python=$(BIN)/python; else python=$(PYTHON); fi; \
	PYTHONPATH=src $$python -m lensmill.cluster.doctor

status:  ## how far the run in this folder is, by rule, and its jobs in the queue
	@PYTHONPATH=src $(BIN)/python -m lensmill.cluster.queue status

resume: $(VENV)/run.stamp  ## go on after Snakemake was killed: waits for its jobs, then runs what is left
	@PYTHONPATH=src $(BIN)/python -m lensmill.cluster.queue wait
	$(UNLOCK)
	@if command -v sbatch >/dev/null; then how="--profile $(PROFILE)"; else how="--cores $(CORES)"; fi; \
	echo "snakemake $$how"; $(BIN)/snakemake $$how

archive:  ## all that another needs to reproduce this run, in one file
	PYTHONPATH=src $(BIN)/python -m lensmill.cluster.archive make $(BUNDLE)

verify:  ## compare the results here with those of a bundle: make verify BUNDLE=...
	PYTHONPATH=src $(BIN)/python -m lensmill.cluster.archive verify $(BUNDLE)

pin-conda:  ## explicit *.linux-64.pin.txt of the conda environments (needs conda and the internet)
	@command -v snakedeploy >/dev/null || { echo "make pin-conda needs snakedeploy and conda on the PATH: mamba create -n deploy -c conda-forge -c bioconda snakedeploy" >&2; exit 1; }
	snakedeploy pin-conda-envs envs/*.yaml

test-slurm: $(VENV)/dev.stamp  ## the tests on a real SLURM (minutes); test-slurm-all adds the slow ones
	tests/slurm/run "$(SLURM_TESTS)"

test-slurm-all:
	$(MAKE) test-slurm SLURM_TESTS="slow or not slow"
