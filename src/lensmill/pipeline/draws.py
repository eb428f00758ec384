"""Parameters of systems from their uniform numbers."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from lensmill.pipeline.priors import inverse_cdf


class Draws:
    """Draws of n systems: each parameter has a slot, a column of their uniform numbers.

    Parameters
    ----------
    uniforms : array, shape (n, at least as many as slots)
        In (0, 1).
    prior : mapping
        Priors by name, as they are written in the configuration.
    slots : tuple of str
        Which uniform number is which: column k belongs to ``slots[k]``.
    """

    def __init__(self, uniforms: NDArray, prior: Mapping[str, Any], slots: tuple[str, ...]) -> None:
        self.numbers, self.prior, self.slots = uniforms, prior, slots

    def u(self, slot: str) -> NDArray:
        """Return the uniform numbers of a slot."""
        return self.numbers[:, self.slots.index(slot)]

    def __call__(self, name: str, slot: str | None = None) -> NDArray:
        """Return draws from the prior ``name`` by the uniform numbers of ``slot``."""
        return inverse_cdf(self.prior[name], self.u(slot or name))

    def between(self, slot: str, low: float, high: float) -> NDArray:
        """Return uniform draws between two numbers that are no prior of the configuration."""
        return low + (high - low) * self.u(slot)

    def where(self, rows: NDArray) -> "Draws":
        """Return the draws of some systems."""
        return Draws(self.numbers[rows], self.prior, self.slots)
