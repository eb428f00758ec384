"""How the kernels of this package are compiled.

Kernels are inlined into their callers. One that stayed a call would be there twice, in its own
module and, optimised otherwise, in the caller's: which of the two runs depends on which was loaded
first, and with fast mathematics their last bits differ. A process that compiles would then make
other images than one that loads the compiled code.
"""

from lensmill.compiling import compiler

# for speed: sums may be reordered, numbers must be finite
fast = compiler(__file__, fastmath=True, forceinline=True)
# as written: integer arithmetic and sums of doubles
exact = compiler(__file__, fastmath=False, forceinline=True)
