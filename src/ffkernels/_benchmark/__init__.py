"""The benchmark: every operation beside its peers and beside the roofline.

``python -m ffkernels bench`` runs through these modules, of which ``bench/`` uses some too:

- `command`: what the command line asks for, and what all processes measured, put together;
- `process`: a measurement in a process of its own, with its number of threads;
- `cases`: what is measured, drawn from the table of operations;
- `rooflines`: what nothing can be faster than;
- `peers`: how each library spells each operation, in which form it is fastest, a module a library;
- `rounds`: contenders in turns, and the clock;
- `goals`: what the project holds itself to;
- `history`: what has become slower than in a run that was saved;
- `report`, `markdown` and `chart`: what came, as tables and as a picture.

It needs the extra ``bench``, and measures those peers that are installed.
"""
