"""Lensmill: simulate lenses, train networks on them, apply them to the sky and redraw the figures."""

import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.0")

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT / "src"))  # scripts import the library from this checkout

# Every experiment folder brings its own defaults; config.yaml overrides them.
for defaults in sorted(ROOT.glob("src/lensmill/experiments/*/defaults.yaml")):

    configfile: defaults


configfile: ROOT / "config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/lookups/data.smk"
include: "workflow/lookups/networks.smk"
include: "workflow/lookups/figures.smk"
include: "workflow/rules/simulate.smk"
include: "workflow/rules/ingest.smk"
include: "workflow/rules/learn.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/cluster.smk"


for rules_file in sorted(ROOT.glob("src/lensmill/experiments/*/rules.smk")):

    include: rules_file


localrules:
    all,
    data,
    figures,


rule all:
    """Everything that the configuration asks for."""
    default_target: True
    input:
        datasets_of(config["run"]),
        tables_of(config["run"]),
        figures_of(config["run"]),
        calibrations_of(config["run"]),
        cards_of(config["run"]),


rule data:
    """All data sets, merged, checked and split."""
    input:
        datasets_of(config["run"]),


rule figures:
    """All figures, from the results there are."""
    input:
        figures_of(config["run"]),
