"""A digest of the code covers what a module imports, and nothing else."""

import pytest

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


def test_a_module_that_is_not_there_has_no_digest():
    with pytest.raises(ValueError, match=r"there is no pipeline/ingset\.py"):
        digest("pipeline/ingset.py")


def test_both_ways_to_import_are_followed_and_other_files_stand_for_themselves(tmp_path):
    module = tmp_path / "module.py"
    module.write_text("import lensmill.pipeline.store\nimport numpy")
    assert {PACKAGE / "pipeline/store.py", module} <= sources(module)
    style = PACKAGE / "plotting/paper.mplstyle"
    assert sources(style) == {style}
