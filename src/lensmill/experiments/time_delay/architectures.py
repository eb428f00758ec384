"""Which settings of a network do something only with others.

Only literals, so that the settings can be checked without Keras.
"""

from lensmill.pipeline.settings import Uses

# What `dense` has from the study that it follows (`lensmill.learning.models.STUDY`), or lacks.
NOT_DENSE = (
    *("use_delays", "guess_ellipticity", "head", "components", "width", "blocks"),
    *("learning_rate", "schedule", "weight_decay", "clip_norm"),
)

USES = Uses(
    unless_said={"architecture": "canonical", "head": "point", "images": None},
    only_with={
        **{key: {"architecture": ["canonical"]} for key in NOT_DENSE},
        "augment": {"architecture": ["dense"]},  # in its own frame a turned lens is the same
        "components": {"architecture": ["canonical"], "head": ["mixture"]},
        "guess_ellipticity": {"architecture": ["canonical"], "images": [4]},
    },
)
