"""Keras starts without packages that nothing here uses, and leaves them as they were."""

import os
import subprocess
import sys
from pathlib import Path

SRC = Path(__file__).parents[1] / "src"
STARTED = """
import sys
from lensmill.learning.backend import UNUSED, start_keras
start_keras(1)
assert "keras" in sys.modules
print(*(name for name in UNUSED if name in sys.modules))
import matplotlib, pandas, sklearn
print(pandas.DataFrame({"a": [1, 2]}).sum().item())
"""
BEFORE = """
import pandas
from lensmill.learning.backend import start_keras
start_keras(1)
import sys
print(sys.modules["pandas"] is pandas)
"""


def said(code):
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(SRC)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout.split("\n")[:-1]


def test_keras_starts_alone_and_the_others_can_be_had_afterwards():
    assert said(STARTED) == ["", "3"]


def test_what_was_imported_before_stays():
    assert said(BEFORE) == ["True"]
