"""Look-ups of figures: what they read and what they show."""

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
    if not source.exists():
        raise WorkflowError(
            f"experiments.{experiment}.figures.{figure} has no {source.relative_to(ROOT)}; write "
            "it, or take the figure out"
        )
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
