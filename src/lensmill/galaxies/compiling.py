"""How the kernels of this package are compiled."""

from lensmill.compiling import compiler

kernel = compiler(__file__)
