"""Architectures of networks for images, as far as settings are checked by them.

Only literals, so that they can be checked without a deep-learning library; `image_models` builds
the networks, and what each can be given stands in ``experiments/schema.yaml``.
"""

# Pixels across: smaller images leave nothing to the last stages. Every size from there on will do.
SMALLEST = {
    "p4m": 16,
    "resnet": 16,
    "lastro": 16,
    "deeplens": 16,
    "efficientnet_b0": 32,
    "dense": 16,
    "one_conv": 16,
    "three_conv": 16,
    "six_conv": 16,
}
