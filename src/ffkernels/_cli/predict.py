"""``python -m ffkernels predict``: a saved model applied to a table."""

from __future__ import annotations

import argparse
import sys

import numpy as np
import pandas as pd

from .model import Model
from .tables import read_csv


def run(options: argparse.Namespace) -> None:
    """Print a prediction for each row, for classes with their probability."""
    model = Model.load(options.model)
    as_text = [column.name for column in model.columns if column.categories is not None]
    frame, remarks = read_csv(options.csv, as_text)
    for remark in remarks:
        print(remark, file=sys.stderr)
    outputs = model.outputs(model.inputs(frame))
    if model.classes is None:
        predictions = pd.DataFrame({model.target: outputs})
    else:
        likeliest = np.asarray(model.classes)[outputs.argmax(axis=1)]
        predictions = pd.DataFrame({model.target: likeliest, "probability": outputs.max(axis=1)})
    predictions.to_csv(sys.stdout, index=False, float_format="%.7g")
