"""Figures are redrawn from saved results: nothing that draws them needs TensorFlow."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lensmill import experiments

ROOT = Path(__file__).parents[1]
BLOCKED = "import sys\nsys.modules['tensorflow'] = sys.modules['keras'] = None\n"


@pytest.mark.parametrize("name", experiments.NAMES)
def test_every_figure_can_be_imported_without_tensorflow(name):
    figures = sorted(experiments.defaults(name)["figures"])
    code = BLOCKED + "from lensmill import experiments, plotting\n"
    code += "".join(f"experiments.load({name!r}, 'figures.{figure}').plot\n" for figure in figures)
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    answer = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr


def test_the_environment_of_the_figures_has_no_tensorflow():
    text = (ROOT / "envs/figures.yaml").read_text()
    assert "tensorflow=" not in text and "keras=" not in text
