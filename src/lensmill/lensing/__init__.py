"""The physics of lensing: pure functions of arrays on top of numba kernels."""
