"""What the commands of ``python -m ffkernels`` do; `ffkernels.__main__` reads the command line.

``train`` runs through these modules in this order:

- `tables`: the user's CSV file, or the bundled digits, as columns of numbers;
- `model`: those columns, the input layer and the net, as one thing that is saved and loaded;
- `training`: epochs, the progress bar, and when to stop;
- `timing` and `textbook`: a training step beside the NumPy backend and beside textbook code;
- `figures`: the pictures.

They need more than NumPy: the extra ``train``.
"""


class CommandError(Exception):
    """What the user can put right: told in one line, without a traceback."""
