"""Strong gravitational lensing with neural networks, as one reproducible workflow."""

__version__ = "0.1.0"
