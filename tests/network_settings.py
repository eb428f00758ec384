"""All settings of a network for the tests: those given, over the defaults of its experiment."""

from lensmill.learning import image_architectures

DEFAULTS = {
    "time_delay": {
        "architecture": "canonical",
        "observation": {},
        "augment": "none",
        "use_delays": True,
        "guess_ellipticity": 0.0,
        "head": "point",
        "components": 1,
        "width": 128,
        "blocks": 3,
        "max_systems": 0,
        "fold": 0,
        "folds": 0,
        "epochs": 50,
        "repeats": 1,
        "batch_size": 512,
        "learning_rate": 1e-3,
        "schedule": "cosine",
        "weight_decay": 0.0,
        "clip_norm": 1.0,
        "patience": 0,
        "checkpoint_seconds": 20,
        "tensorboard": True,
        "seed": 1,
    },
    "lens_finding": {
        "architecture": "p4m",
        "stretch": "image",
        "softening": 1.0,
        "augment": "none",
        "loss": "binary_crossentropy",
        "focal_gamma": 2.0,
        "class_weight": "none",
        "hard_negatives": 0.0,
        "max_systems": 0,
        "epochs": 15,
        "repeats": 1,
        "batch_size": 64,
        "learning_rate": 1e-3,
        "schedule": "cosine",
        "weight_decay": 1e-4,
        "clip_norm": 1.0,
        "ema": 0.0,
        "patience": 0,
        "mixed_precision": False,
        "checkpoint_seconds": 60,
        "tensorboard": True,
        "seed": 1,
        "fold": 0,
        "folds": 0,
    },
}


def network_settings(experiment, given):
    """Return the defaults of an experiment with other settings over them."""
    whole = {**DEFAULTS[experiment], **given}
    own = image_architectures.DEFAULTS.get(whole["architecture"], {})
    return {**own, **whole} if experiment == "lens_finding" else whole
