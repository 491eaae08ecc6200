"""The bench command, on a few small cases, and what its report says of them."""

import json

import numpy as np
import pytest

import ffkernels
from ffkernels.__main__ import main

matplotlib = pytest.importorskip("matplotlib")
pytest.importorskip("tqdm")
pytest.importorskip("threadpoolctl")

from ffkernels._cli import cases, peers, report, rounds  # noqa: E402
from ffkernels._operations import OPERATIONS  # noqa: E402

BY_NAME = {operation.name: operation for operation in OPERATIONS}
PEERS = peers.installed(list(peers.PEERS))


@pytest.fixture(scope="module")
def loaded():
    return {name: peers.PEERS[name](1) for name in PEERS}


def test_command_writes_json_markdown_and_picture(tmp_path, capfd):
    chosen = ["--quick", "--only", "softmax_backward 1x10", "--peers", "numpy", "--threads", "1,2"]
    assert main(["bench", *chosen, "--save", str(tmp_path)]) == 0
    measured = json.loads((tmp_path / "bench.json").read_text())
    # With two threads only where a second is used.
    assert [(r["case"], r["threads"]) for r in measured["results"]] == [
        ("softmax_backward 1x10", 1),
        ("log_softmax_backward 1x10", 1),
    ]
    for result in measured["results"]:
        assert result["elements"] == np.prod(result["shape"]) and result["rounds"] >= 3
        assert set(result["seconds"]) == {"ffkernels", "numpy", "roofline"}
        ours, theirs = result["seconds"]["ffkernels"], result["seconds"]["numpy"]
        assert 0 < ours < 1 and result["us a call"] == pytest.approx(1e6 * ours)
        assert result["ns an element"] == pytest.approx(1e9 * ours / result["elements"])
        assert result["times as long"]["numpy"] == pytest.approx(theirs / ours)
        assert result["of the roofline"] == pytest.approx(ours / result["seconds"]["roofline"])
    assert {row["work"] for row in measured["wanted"]} >= {"tiny arrays, up to 1000"}

    markdown = (tmp_path / "bench.md").read_text()
    assert capfd.readouterr().out.startswith(markdown)
    tables = [block.splitlines() for block in markdown.split("\n\n") if block.startswith("|")]
    assert len(tables) == 2
    for lines in tables:
        assert len({line.count("|") for line in lines}) == 1 and lines[1].startswith("| ---")
    assert "NumPy" in tables[1][0] and "PyTorch" not in tables[1][0]
    assert len(tables[1]) == 2 + len(measured["results"])

    pixels = matplotlib.image.imread(tmp_path / "bench.png")
    assert min(pixels.shape[:2]) > 200 and pixels.std() > 0.05


def test_mistakes_are_told_in_a_line(capsys):
    assert main(["bench", "--peers", "numpy,fortran"]) == 2
    assert "numpy, torch, jax, scipy, got fortran" in capsys.readouterr().err
    assert main(["bench", "--only", "no such thing"]) == 2
    assert "no case has a name like no such thing" in capsys.readouterr().err


def test_a_peer_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(peers.SciPy, "package", "no_such_package")
    assert "scipy" not in peers.installed(["numpy", "scipy"])
    measured = {
        "machine": dict.fromkeys(
            ("date", "processor", "processors", "ffkernels", "backend", "isa"), "?"
        ),
        "peers": {"numpy": "2"},
        "not installed": ["scipy"],
        "wanted": [],
        "results": [],
    }
    assert "SciPy is not installed" in report.markdown(measured)


@pytest.mark.parametrize("name", sorted(BY_NAME))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_peers_compute_the_same(loaded, name, dtype):
    """A benchmark against another function would prove nothing."""
    operation = BY_NAME[name]
    shape = (20, 30)
    arguments = operation.draw(np.random.default_rng(0), shape, np.dtype(dtype))
    if operation.kind == "update":
        pytest.skip("changes its arguments, which a peer copies")
    expected = operation.textbook(*arguments)
    out = next((a for a in _arrays(expected) if a.ndim), None)
    for peer_name, peer in loaded.items():
        call = peer.call(name, arguments, out)
        if call is None:
            continue
        result = _arrays(call())
        if result[0] is None:  # np.copyto
            result = [call.arguments[0]]
        for got, want in zip(result, _arrays(expected), strict=True):
            assert str(got.dtype).endswith(dtype), peer_name
            got = got.detach().numpy() if hasattr(got, "detach") else np.asarray(got)
            # The epsilon inside a book's logarithm is worth as much.
            np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-6, err_msg=peer_name)


def _arrays(result):
    return list(result) if isinstance(result, tuple) else [result]


@pytest.mark.parametrize("axis", [0, 1])
def test_peers_compute_along_any_axis(loaded, axis):
    x = np.random.default_rng(0).standard_normal((4, 5, 6)).astype(np.float32)
    for name, peer in loaded.items():
        got = np.asarray(peer.call("softmax", (x,), np.empty_like(x), axis)())
        want = ffkernels.softmax(x, axis)
        got = np.moveaxis(got, -1, axis) if name == "numpy" else got
        np.testing.assert_allclose(got, want, rtol=1e-5, err_msg=name)


def test_training_steps_of_all_peers_have_the_same_loss(loaded):
    net, x, t = cases.step_arguments(16)
    want = float(net.loss(x, t))
    for name, peer in loaded.items():
        step = peer.step(net.params, x, t)
        if step is not None:
            loss = step()
            loss = loss.detach() if hasattr(loss, "detach") else loss
            assert float(loss) == pytest.approx(want, rel=1e-5), name
    assert float(net.loss(x, t)) == want  # each moved a copy


def test_matrix_products_are_the_eight_of_a_step(monkeypatch):
    net, x, _ = cases.step_arguments(16)
    products = cases.matrix_products(net, x)
    multiplications = []
    monkeypatch.setattr(
        np, "matmul", lambda a, b, out: multiplications.append(a.shape[0] * a.shape[1] * out.shape[1])
    )
    products()
    layers = [16 * 784 * 256, 16 * 256 * 256, 16 * 256 * 10]
    # Forward, for the weights, and for all layers but the first backward.
    assert sorted(multiplications) == sorted([*layers, *layers, *layers[1:]])


def test_a_step_takes_no_memory_that_grows_with_the_batch():
    assert cases.step_memory(512) < 8000


def test_every_case_has_ours_and_most_a_roofline(loaded):
    for case in cases.cases("10", quick=True, threads=1):
        calls = case.contenders(loaded, 2)
        assert cases.OURS in calls and cases.ONE_THREAD in calls
        assert (cases.ROOFLINE in calls) == (case.operation != "cross_entropy")
        for call in calls.values():
            call()


def test_rounds_alternate():
    order = []
    calls = {name: rounds.Call(order.append, (name,)) for name in "ab"}
    effort = rounds.Effort(rounds=3, least=3, seconds=0, turn=0)
    turns = rounds.measure(calls, effort)
    assert {name: len(seconds) for name, seconds in turns.items()} == {"a": 3, "b": 3}
    assert "".join(order[-6:]) == "ababab"
