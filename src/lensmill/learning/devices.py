"""Which device a network is trained on, said in the log of the job."""

import logging
import os

import keras

log = logging.getLogger(__name__)


def report() -> list[str]:
    """Log the GPUs that the backend sees; warn if the job was given one and the backend sees none.

    Returns
    -------
    list of str
        The GPUs; the CPU is used if there are none.
    """
    gpus = keras.distribution.list_devices("gpu")
    given = os.environ.get("CUDA_VISIBLE_DEVICES") or os.environ.get("SLURM_STEP_GPUS")
    if gpus:
        log.info("training on %s", ", ".join(gpus))
    elif given:
        log.warning(
            "FALLING BACK TO THE CPU: this job was given GPU %s, but %s sees none; the numbers are "
            "the same, the time is longer. `make doctor` on that node says why",
            given,
            keras.backend.backend(),
        )
    else:
        log.info("training on the CPU")
    return gpus


def precision(mixed: bool) -> str:
    """Return the policy of a network's numbers; 16 bits only where a GPU makes them fast."""
    if not mixed:
        return "float32"
    if keras.distribution.list_devices("gpu"):
        log.info("mixed precision: products in bfloat16, weights in float32")
        return "mixed_bfloat16"
    log.warning("mixed_precision is set, but there is no GPU: everything stays in float32")
    return "float32"
