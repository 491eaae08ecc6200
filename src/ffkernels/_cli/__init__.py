"""What the commands of ``python -m ffkernels`` do; `ffkernels.__main__` reads the command line.

``train`` runs through these modules in this order:

- `tables`: the user's CSV file, or the bundled digits, as columns of numbers, dates and text;
- `ffkernels.tables`: what of them is inputs, the input layer and the net, saved and loaded as one;
- `training`: epochs, the progress bar, and when to stop; scikit-learn's net in the same time;
- `ranks`: the processes that a launcher of MPI has started, of which the first does all but the epochs;
- `checkpoint`: a training in a file;
- `timing` and `textbook`: a training step beside the NumPy backend and beside textbook code;
- `figures`: the pictures.

They need more than NumPy: the extra ``train``.

``bench`` runs through these:

- `cases`: what is measured, drawn from the table of operations, and what nothing can be faster than;
- `peers`: how each library spells each operation, in which form it is fastest, a module a library;
  NumPy's are `textbook`, as books print them, and `plain`, its best;
- `rounds`: contenders in turns, and the clock;
- `report`, `markdown` and `chart`: what came, as tables and as a picture;
- `goals`: what the project holds itself to.

They need the extra ``bench``, and measure those peers that are installed.
"""


class CommandError(Exception):
    """What the user can put right: told in one line, without a traceback."""
