"""How the kernels of this package are compiled: they contain those of `lensmill.lensing`."""

from lensmill import lensing
from lensmill.compiling import compiler

kernel = compiler(__file__, contains=[lensing.__file__])
