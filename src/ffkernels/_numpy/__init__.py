"""The twin: every kernel as plain NumPy.  It runs anywhere, and it is the specification."""

from ._activations import *  # noqa: F403
from ._losses import *  # noqa: F403
from ._optimizers import *  # noqa: F403
