"""Draw the figures, one file each, from saved results only."""

import ast


def figure_inputs(wildcards):
    """Map the arguments of a figure to the result files that it declares."""
    folder = f"results/{wildcards.experiment}"
    return {
        argument: (
            [f"{folder}/{p}" for p in paths]
            if isinstance(paths, list)
            else f"{folder}/{paths}"
        )
        for argument, paths in setting("figures", "{figure}")(wildcards).items()
    }


def caption(experiment, figure):
    """Return the docstring of a figure's module: what the figure shows."""
    source = ROOT / f"src/lensmill/experiments/{experiment}/figures/{figure}.py"
    return ast.get_docstring(ast.parse(source.read_text()))


def captions(wildcards):
    """Map the figures of an experiment to what they show."""
    figures = setting("figures")(wildcards)
    return {figure: caption(wildcards.experiment, figure) for figure in figures}


def figures_of(names):
    """List every figure of the given experiments, and what they show."""
    return [
        f"results/{name}/figures/{figure}.{suffix}"
        for name in names
        for figure in config["experiments"][name]["figures"]
        for suffix in ("pdf", "png")
    ] + [f"results/{name}/figures/captions.md" for name in names]


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
