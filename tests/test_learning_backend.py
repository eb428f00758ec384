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


WORKS = """
from lensmill.learning.backend import start_keras
start_keras(1)
import keras, numpy
keras.distribution.list_devices("gpu")
network = keras.Sequential([keras.layers.Dense(2)])
print(network.predict(numpy.ones((3, 2)), verbose=0).shape)
"""
SPEAKS = """
import os
from lensmill.learning.backend import without_noise
with without_noise():
    os.write(2, b"Unable to register cuDNN factory: one is there\\nno space left on device\\n")
    os.abort()
"""


def stderr_of(code):
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment | {"PYTHONPATH": str(SRC)},
        capture_output=True,
        text=True,
    ).stderr


def test_a_network_works_without_a_word_about_cuda():
    said = stderr_of(WORKS)
    assert not any(word in said.lower() for word in ("cuda", "cudnn", "cublas", "placer", "absl"))


def test_what_compiled_code_says_before_it_dies_is_not_lost():
    assert stderr_of(SPEAKS) == "no space left on device\n"
