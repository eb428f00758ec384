"""How the kernels of this package are compiled."""

from lensmill import imaging
from lensmill.compiling import compiler

# without fast mathematics: a count of photons may not hang on the order of sums
kernel = compiler(__file__, contains=[imaging.__file__])
