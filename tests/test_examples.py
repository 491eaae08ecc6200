"""The notebooks in `examples/` run from top to bottom, and what stands in them is what they print.

    python tests/test_examples.py     runs them and writes down what they print and draw

They are kept with their figures, since that is how they are read.  A cell tagged "measured" prints other
numbers on every machine.
"""

import json
import os
import re
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))

#: What each notebook tells its reader, run as its last cell.
CLAIMS = {
    "digits": """
        assert accuracies[-1][1] > 0.96
        assert abs(by_chain_rule / ((above - below) / (2 * step)) - 1) < 1e-6
        assert np.array_equal(reader.predict_proba(x_test), net.predict(a_test))
    """,
    "scikit-learn": """
        assert own_curve.shape == our_curve.shape and abs(our_curve / own_curve - 1).max() < 1e-11
        assert search.score(x_test, t_test) > 0.96 and net.score(holes_test, t_test) > 0.93
    """,
    "vocabulary": """
        assert abs(loss / same_loss - 1) < 1e-5 and np.allclose(dw, same_dw, atol=1e-8)
        assert max(memory[fused]) < 33 and memory[unfused][-1] >= 250
        assert abs(curve[0] - math.log(WORDS)) < 0.5 and np.mean(curve[-5:]) < 9.5
    """,
}


def run(path, folder, claims=""):
    """The notebook as it is after a run in a folder, with a last cell for what it has to come to."""
    import nbclient
    import nbformat

    notebook = nbformat.read(path, 4)
    notebook.cells.append(nbformat.v4.new_code_cell(claims))
    # One thread of BLAS: where others have the machine too, two wait for each other most of the time.
    env = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    options = {"record_timing": False, "timeout": 1200, "resources": {"metadata": {"path": str(folder)}}}
    nbclient.NotebookClient(notebook, **options).execute(env=env)
    notebook.cells.pop()
    return notebook


def printed(cell):
    """What a cell shows, with its figures named rather than drawn, and its numbers left out."""
    shown = []
    for output in cell["outputs"]:
        text = output.get("text") or output.get("data", {}).get("text/plain", "")
        shown.append((output["output_type"], re.sub(r"[\d.,]+(e[+-]?\d+)?", "#", "".join(text)).split()))
    return shown


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path, tmp_path, monkeypatch):
    for name in ("nbclient", "ipykernel", "matplotlib", "sklearn"):
        pytest.importorskip(name)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    fresh = code_cells(run(path, tmp_path, CLAIMS[path.stem]))
    kept = code_cells(json.loads(path.read_text()))
    for was, now in zip(kept, fresh, strict=True):
        assert "Warning" not in json.dumps(now["outputs"]), now["source"]
        if "measured" not in was["metadata"].get("tags", []):
            assert printed(was) == printed(now), now["source"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_kept_as_it_was_run(path):
    """From top to bottom, by one run, with pictures that do not fill the repository."""
    assert path.stat().st_size < 400_000
    cells = code_cells(json.loads(path.read_text()))
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert any("image/png" in output.get("data", {}) for cell in cells for output in cell["outputs"])


def test_all_notebooks_are_there():
    assert [path.stem for path in NOTEBOOKS] == sorted(CLAIMS)


if __name__ == "__main__":
    import tempfile

    import nbformat

    for path in NOTEBOOKS:
        with tempfile.TemporaryDirectory() as folder:
            notebook = run(path, folder)
        nbformat.write(notebook, path)
        print(path.relative_to(EXAMPLES.parent))
