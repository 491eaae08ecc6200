"""The training of a net on a table, and its predictions, for the command line.

``python -m ffkernels train`` runs through these modules in this order:

- `command`: what each process of a training does, of which the first prepares it and shows it;
- `ranks`: the processes that a launcher of MPI has started;
- `options`: what is given, what a checkpoint says, and what is usual;
- `csv_files`: the user's table as columns of numbers, dates and text;
- `columns`: what of them is the target, and what can be inputs;
- `preparation`: the rows for each use, and a model that has learnt nothing yet;
- `training`: all this together, and what is told of it;
- `fit`: epochs, the progress bar, and when to stop;
- `checkpoint`: a training in a file;
- `comparison`: scikit-learn's net in the same time; a step beside the NumPy backend and textbook code;
- `results`: how good the net is, in words and, by `figures`, in pictures;
- `log`: what all these tell, for people or as JSON.

``python -m ffkernels predict`` is in `predict`. Both need more than NumPy: the extra ``train``.
"""
