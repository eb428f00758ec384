"""Strong gravitational lensing with neural networks, as one reproducible workflow."""

import lensmill.node

__version__ = "0.1.0"

# Before anything imports numba or TensorFlow. (provenance.py follows only `from` imports, so that
# a change of threads or folders is not a change of the science.)
lensmill.node.prepare()
