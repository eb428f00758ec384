"""What there is to set in networks for images, by architecture; `image_models` builds them.

Only literals, so that the settings can be checked without a deep-learning library.
"""

from typing import Any

# What an architecture makes of settings left out; it uses no others. ``width``: channels of the
# first stage, of p4m in each of 8 orientations; ``stages``: how often the maps are halved with the
# channels growing; ``blocks``: residual blocks per stage; ``stem``: stride of the first
# convolution.
DEFAULTS: dict[str, dict[str, Any]] = {
    "p4m": {"width": 8, "stages": 3, "blocks": 1, "stem": 2, "dropout": 0.0},
    "resnet": {"width": 32, "stages": 3, "blocks": 1, "stem": 2, "dropout": 0.0},
    "lastro": {"dropout": 0.5},
    "deeplens": {"dropout": 0.0},
    "efficientnet_b0": {"dropout": 0.2},
    "dense": {"width": 128, "dropout": 0.2},
    "one_conv": {"width": 16, "dropout": 0.2},
}
# Pixels across: smaller images leave nothing to the last stages. Every size from there on will do.
SMALLEST = dict.fromkeys(DEFAULTS, 16) | {"efficientnet_b0": 32}
