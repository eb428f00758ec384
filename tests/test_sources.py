"""Files that a configuration names are found, also in an installed package."""

import os
import subprocess
import sys
from pathlib import Path

from lensmill.pipeline import sources


def test_a_file_is_looked_for_here_and_then_beside_the_snakefile(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "checkout"
    root.mkdir()
    (root / "table.csv").write_text("beside")
    assert sources.find("table.csv", root) == str(root / "table.csv")
    Path("table.csv").write_text("here")
    assert sources.find("table.csv", root) == "table.csv"
    assert "is neither in" in sources.where("other.csv")


def test_a_file_of_a_package_is_found_without_importing_it():
    found = sources.find("package:kcorrect/data/test/gst_tests_small.fits", "")
    assert Path(found).is_file()
    asked = (
        "import sys; from lensmill.pipeline import sources; "
        "sources.find('package:kcorrect/data/test/gst_tests_small.fits', ''); "
        "print('kcorrect' in sys.modules)"
    )
    told = subprocess.run(
        [sys.executable, "-c", asked],
        env=os.environ | {"PYTHONPATH": str(Path(sources.__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == "False"


def test_a_package_that_is_not_there_is_named():
    given = "package:no_such_package/table.csv"
    assert sources.find(given, "") == given
    assert "package 'no_such_package' is not installed" in sources.where(given)
