"""Which settings of a network do something only with others.

Only literals and what is made of them, so that the settings can be checked without Keras.
"""

from lensmill.learning.image_architectures import DEFAULTS, SMALLEST
from lensmill.pipeline.settings import Uses

SIZES = sorted(set().union(*DEFAULTS.values()))  # settings that not all architectures have

USES = Uses(
    unless_said={"architecture": "p4m", "loss": "binary_crossentropy"},
    only_with={
        **{key: {"architecture": [a for a in DEFAULTS if key in DEFAULTS[a]]} for key in SIZES},
        # turned or mirrored, p4m says and learns the same
        "augment": {"architecture": [a for a in DEFAULTS if a != "p4m"]},
        "focal_gamma": {"loss": ["focal"]},
    },
    smallest=SMALLEST,
)
