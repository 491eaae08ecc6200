"""The twin: every kernel as plain NumPy.  It runs anywhere, and it is the specification.

How exact it is: elementwise functions stay within 5 ulp of the exact value, the gradients from what
the forward pass saved within 2.5; gelu, and the gradients from the input, are off by more far from 0.
Along an axis x - max is rounded, so that the error grows with that difference: 8 ulp where it needs no
rounding, 24 down to 20 below the maximum, 80 in float32 down to 80 below and 640 in float64 down to 700
below. The tests hold it to that; docs/accuracy.md has the measure and how the kernels do better.
"""

from ._activations import *  # noqa: F403
from ._losses import *  # noqa: F403
from ._optimizers import *  # noqa: F403
from ._shards import *  # noqa: F403
