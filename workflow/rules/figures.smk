"""Draw the figures, one file each, from saved results only."""


rule plot_figure:
    """Draw one figure from the results it declares in its experiment's defaults."""
    input:
        unpack(figure_inputs),
    output:
        pdf="results/{experiment}/figures/{figure}.pdf",
        png=report(
            "results/{experiment}/figures/{figure}.png",
            caption="../report/figure.rst",
            category="{experiment}",
            subcategory="figures",
            labels={"figure": "{figure}"},
        ),
    log:
        "results/{experiment}/logs/plot_figure/{figure}.log",
    priority: 20  # the first figures are there before the networks train
    conda:
        ROOT / "envs/figures.yaml"
    params:
        caption=lambda wildcards: caption(wildcards.experiment, wildcards.figure),
        code=code(
            "plotting/__init__.py",
            "plotting/paper.mplstyle",
            "experiments/{experiment}/figures/__init__.py",
            "experiments/{experiment}/figures/{figure}.py",
        ),
    script:
        "../scripts/plot_figure.py"


rule write_captions:
    """Write what each figure of an experiment shows, beside the figures."""
    output:
        "results/{experiment}/figures/captions.md",
    log:
        "results/{experiment}/logs/write_captions.log",
    conda:
        ROOT / "envs/figures.yaml"
    params:
        captions=captions,
    script:
        "../scripts/write_captions.py"


rule plot_calibration:
    """Draw the page that says whether a network's errors may be trusted for a population."""
    input:
        predictions="results/{experiment}/scores/{network}/{population}/predictions.h5",
        scores="results/{experiment}/scores/{network}/{population}/scores.json",
    output:
        report(
            "results/{experiment}/scores/{network}/{population}/calibration.png",
            caption="../report/calibration.rst",
            category="{experiment}",
            subcategory="calibration",
            labels={"network": "{network}", "population": "{population}"},
        ),
    log:
        "results/{experiment}/logs/plot_calibration/{network}.{population}.log",
    conda:
        ROOT / "envs/figures.yaml"
    params:
        code=code(
            "learning/calibration_page.py",
            "plotting/paper.mplstyle",
            "experiments/{experiment}/figures/__init__.py",
        ),
    script:
        "../scripts/plot_calibration.py"
