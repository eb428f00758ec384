"""A digest of the code covers what a module imports, and nothing else."""

from lensmill.pipeline.provenance import PACKAGE, digest, sources


def names(module):
    return {path.relative_to(PACKAGE).as_posix() for path in sources(PACKAGE / module)}


def test_imports_are_followed_absolute_and_relative():
    found = names("experiments/time_delay/simulate.py")
    assert {"lensing/solver.py", "lensing/isothermal.py", "pipeline/priors.py"} <= found


def test_what_is_not_imported_does_not_count():
    assert not {name for name in names("experiments/time_delay/simulate.py") if "plot" in name}


def test_a_file_that_is_no_module_stands_for_itself():
    template = "experiments/lens_finding/ranked.html.jinja"
    assert names(template) == {template}
    assert digest(template) != digest("experiments/lens_finding/ranking.py")


def test_the_digest_depends_on_the_modules():
    assert digest("pipeline/store.py") != digest("pipeline/streams.py")
    assert digest("pipeline/store.py") == digest("pipeline/store.py")
