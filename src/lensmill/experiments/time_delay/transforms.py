"""The same lens seen otherwise: turned, mirrored, moved, relabelled or scaled."""

import numpy as np
from numpy.typing import NDArray

from lensmill.experiments.time_delay.canonical import Answer
from lensmill.experiments.time_delay.observe import Observed, Truth

KINDS = ("rotation", "reflection", "translation", "relabelling", "scale")


def rotation(angle: NDArray | float) -> NDArray:
    """Matrices that turn counter-clockwise by ``angle`` [rad]: shape (..., 2, 2)."""
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([np.stack([c, -s], axis=-1), np.stack([s, c], axis=-1)], axis=-2)


def turned(observed: Observed, matrix: NDArray) -> Observed:
    """Turn or mirror systems about the origin: ``matrix`` is orthogonal, (2, 2) or (n, 2, 2)."""
    across = np.swapaxes(matrix, -1, -2)
    return observed._replace(
        position=observed.position @ across,
        lens_position=(observed.lens_position[:, None] @ across)[:, 0],
    )


def turned_truth(truth: Truth, matrix: NDArray) -> Truth:
    """Turn or mirror what belongs to them: positions and deflections turn, the rest stays."""
    across = np.swapaxes(matrix, -1, -2)
    return truth._replace(position=truth.position @ across, deflection=truth.deflection @ across)


def apply(kind: str, amount: float, observed: Observed) -> Observed:
    """See systems otherwise.

    Parameters
    ----------
    kind : str
        ``rotation`` by ``amount`` rad, ``reflection`` at an axis at ``amount`` rad from +x,
        ``translation`` by ``amount`` arcsec (to the upper right), ``relabelling`` by the
        permutation whose number is ``amount``, or ``scale``: angles and their errors by
        ``amount``, delays and theirs by its square.
    """
    match kind:
        case "rotation":
            return turned(observed, rotation(amount))
        case "reflection":
            return turned(observed, _mirror(amount))
        case "translation":
            shift = amount * np.array([0.8, 0.6])
            return observed._replace(
                position=observed.position + shift, lens_position=observed.lens_position + shift
            )
        case "relabelling":
            order = _permutation(amount, observed.delay.shape[1])
            columns = ("position", "position_error", "delay", "delay_error", "delay_measured")
            moved = {name: getattr(observed, name)[:, order] for name in columns}
            return observed._replace(**moved)
        case "scale":
            return observed._replace(
                position=observed.position * amount,
                position_error=observed.position_error * amount,
                lens_position=observed.lens_position * amount,
                lens_error=observed.lens_error * amount,
                delay=observed.delay * amount**2,
                delay_error=observed.delay_error * amount**2,
            )
    raise ValueError(f"{kind!r} is not a symmetry; there are: {', '.join(KINDS)}")


def undo(kind: str, amount: float, answer: Answer) -> Answer:
    """Carry an answer about what `apply` made back to the systems as they were."""
    match kind:
        case "rotation" | "reflection":
            matrix = rotation(-amount) if kind == "rotation" else _mirror(amount)
            return answer._replace(deflection=np.einsum("ij,nkjs->nkis", matrix, answer.deflection))
        case "relabelling":
            back = np.argsort(_permutation(amount, answer.potential.shape[1]))
            return answer._replace(
                potential=answer.potential[:, back], deflection=answer.deflection[:, back]
            )
        case "scale":
            return answer._replace(
                potential=answer.potential / amount**2, deflection=answer.deflection / amount
            )
    return answer


def _mirror(angle: float) -> NDArray:
    return rotation(2 * angle) @ np.diag([1.0, -1.0])


def _permutation(number: float, n_images: int) -> NDArray:
    return np.random.default_rng(int(number)).permutation(n_images)
