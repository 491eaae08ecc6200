"""The bench command, on a few small cases, and what its report says of them."""

import functools
import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest

import ffkernels
from ffkernels.__main__ import main
from ffkernels.optimizers import SGD, Adam

matplotlib = pytest.importorskip("matplotlib")
pytest.importorskip("tqdm")
pytest.importorskip("threadpoolctl")

from ffkernels._benchmark import cases, goals, history, markdown, peers, report, rooflines, rounds  # noqa: E402
from ffkernels._command import CommandError  # noqa: E402
from ffkernels._operations import OPERATIONS  # noqa: E402

BY_NAME = {operation.name: operation for operation in OPERATIONS}
PEERS = [name for name in peers.PEERS if name not in peers.lacking(list(peers.PEERS))]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = str(tmp_path_factory.mktemp("compiled"))
        for name, value in peers.environment(1, "numpy", folder).items():
            if name.startswith(("TORCH", "TF_")):
                patch.setenv(name, value)
        # Half a minute, which pays where much is compiled.
        patch.setenv("TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS", "0")
        loaded = {name: peers.PEERS[name](1) for name in PEERS}
        if "torch-compile" in loaded:
            # As graphs but not as C++, which takes seconds a function.
            compiled = loaded["torch-compile"].torch.compile
            eager = functools.partial(compiled, backend="eager")
            patch.setattr(loaded["torch-compile"].torch, "compile", eager)
        yield loaded


def measured_of(results, **more):
    """Return what the command would have measured."""
    machine = dict.fromkeys(("date", "processor", "processors", "ffkernels", "isa", "numpy"), "?")
    names = dict.fromkeys(("numpy", "torch"), "2")
    nothing = {"wanted": [], "step_bytes": {}}
    measured = {"machine": machine | {"backend": "compiled"}, "peers": names, "results": results}
    return measured | {"threads": [1]} | nothing | more


def result_of(case, times, **more):
    operation, _, size = case.partition(" ")
    given = {
        "case": case, "operation": operation, "size": size, "group": "functions", "shape": [1000],
        "dtype": "float32", "elements": 1000, "threads": 1, "us_a_call": 2.0, "ns_an_element": 2.0,
        "times_as_long": times, "of_the_roofline": None, "gain_over_one_thread": None,
    }  # fmt: skip
    return given | more


def test_command_writes_json_markdown_and_picture(tmp_path, capfd):
    chosen = ["--quick", "--only", "softmax_backward 100x10", "--peers", "textbook,numpy"]
    assert main(["bench", *chosen, "--threads", "1,2", "--goals", "--save", str(tmp_path)]) == 0
    measured = json.loads((tmp_path / "bench.json").read_text())
    # With two threads only where a second is used.
    assert [(r["case"], r["threads"]) for r in measured["results"]] == [
        ("softmax_backward 100x10", 1),
        ("log_softmax_backward 100x10", 1),
    ]
    for result in measured["results"]:
        assert result["elements"] == np.prod(result["shape"]) and result["rounds"] >= 3
        assert set(result["seconds"]) == {"ffkernels", "textbook", "numpy", "roofline"}
        ours, theirs = result["seconds"]["ffkernels"], result["seconds"]["numpy"]
        assert 0 < ours < 1 and result["us_a_call"] == pytest.approx(1e6 * ours)
        assert result["ns_an_element"] == pytest.approx(1e9 * ours / result["elements"])
        assert result["times_as_long"]["numpy"] == pytest.approx(theirs / ours)
        assert result["of_the_roofline"] == pytest.approx(ours / result["seconds"]["roofline"])
    assert {row["work"] for row in measured["wanted"]} >= {"tiny arrays, up to 1000"}

    printed = capfd.readouterr().out
    assert "\nsoftmax_backward\n  100x10 " in printed and "tiny arrays, up to 1000" in printed
    text = (tmp_path / "bench.md").read_text()
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 3  # a few, the goals, all
    for lines in tables:
        assert len({line.count("|") for line in lines}) == 1 and lines[1].startswith("| ---")
    assert "NumPy, textbook | NumPy, plain" in tables[2][0] and "PyTorch" not in tables[2][0]
    assert len(tables[2]) == 2 + len(measured["results"])

    pixels = matplotlib.image.imread(tmp_path / "bench.png")
    assert min(pixels.shape[:2]) > 200 and pixels.std() > 0.05


def test_the_numpy_backend_is_measured_when_asked_for(tmp_path, capfd):
    chosen = ["--only", "relu_backward 10", "--quick", "--peers", "numpy", "--backend", "numpy"]
    assert main(["bench", *chosen, "--threads", "1", "--save", str(tmp_path)]) == 0
    assert "as long as ffkernels' NumPy backend" in capfd.readouterr().out
    measured = json.loads((tmp_path / "bench.json").read_text())
    assert measured["machine"]["backend"] == "numpy" and measured["results"]


def saved(path, results, **more):
    """What the command would have saved, and the machine and peers of a run to compare with it."""
    measured = measured_of(results, **more)
    path.write_text(json.dumps(measured))
    return path, measured["machine"], measured["peers"]


def never(keys):
    raise AssertionError(f"measured {keys} again")


def test_a_loss_is_told_by_what_ran_beside_it(tmp_path):
    """The clock of the machine halves, which slows all; relu alone becomes 1.3 times as slow."""
    before = [
        result_of("relu 1000", {"numpy": 2.0, "torch": 4.0}, of_the_roofline=1.0),
        result_of("tanh 1000", {"numpy": 2.0, "torch": 4.0}, of_the_roofline=1.0),
        result_of("tanh 1000", {"numpy": 2.0}, threads=2),
        result_of("gone 1000", {"numpy": 2.0}),
    ]
    now = [
        result_of("relu 1000", {"numpy": 2 / 1.3, "torch": 4 / 1.3}, us_a_call=5.2, of_the_roofline=1.3),
        # One contender's bad luck.
        result_of("tanh 1000", {"numpy": 2.0, "torch": 2.0}, us_a_call=4.0, of_the_roofline=1.0),
        result_of("tanh 1000", {"numpy": 2.1}, threads=2),
        result_of("new 1000", {"numpy": 2.0}),
    ]
    asked = []

    def again(keys):
        asked.append(keys)
        return [result_of("relu 1000", {"numpy": 2 / 1.2, "torch": 4 / 1.2}, of_the_roofline=1.2)]

    compared = history.Saved(*saved(tmp_path / "bench.json", before)).compare(now, again)
    assert asked == 2 * [[("relu 1000", 1)]]
    (slower,) = compared["slower"]
    assert slower == {
        "case": "relu 1000", "threads": 1, "times_as_long": pytest.approx([1.3, 1.2, 1.2]),
    }  # fmt: skip
    assert compared["cases"] == 3 and compared["beside"] == ["numpy", "torch", "roofline"]
    assert compared["quartiles"] == pytest.approx(np.quantile([1.3, 1.0, 2 / 2.1], [0.25, 0.5, 0.75]))


def test_what_is_slower_only_once_is_noise(tmp_path):
    before = [result_of(case, {"numpy": 2.0}) for case in ("relu 10", "tanh 10")]
    given = saved(tmp_path / "bench.json", before)
    turns = iter([1.5, 1.05])

    def again(keys):
        return [result_of(case, {"numpy": 2 / next(turns)}) for case, _ in keys]

    now = [result_of("relu 10", {"numpy": 1.0}), result_of("tanh 10", {"numpy": 2 / 1.09})]
    compared = history.Saved(*given).compare(now, again)
    assert not compared["slower"] and compared["cases"] == 2 and next(turns, None) is None
    assert not history.Saved(*given).compare(now[1:], never)["slower"]


def test_other_releases_and_our_own_functions_are_nothing_to_compare_by(tmp_path):
    times = {"numpy": 2.0, "torch": 4.0, "contiguous": 0.5}
    path, machine, _ = saved(tmp_path / "bench.json", [result_of("relu 10", times, of_the_roofline=1.0)])
    now = [result_of("relu 10", {"numpy": 2.0, "torch": 1.0, "contiguous": 0.1}, of_the_roofline=3.0)]
    other = machine | {"numpy": "another"}
    compared = history.Saved(path, other, {"numpy": "2", "torch": "3"}).compare(now, never)
    assert compared["beside"] == ["numpy"] and compared["quartiles"] == [1.0, 1.0, 1.0]
    with pytest.raises(CommandError, match="NumPy and every peer were other releases then"):
        history.Saved(path, other, {"numpy": "3", "jax": "2"})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"processor": "another"}, "was measured with another processor: another, not [?]"),
        ({"backend": "numpy"}, "was measured with another backend: numpy, not compiled"),
        ({"isa": "avx2"}, "was measured with another isa: avx2, not [?]"),
        ("results", "expected what bench --save wrote: KeyError.'results'"),
        ("[]", "expected what bench --save wrote: TypeError"),
        ("{", "expected what bench --save wrote: JSONDecodeError"),
        (None, "No such file"),
    ],
)
def test_what_cannot_be_compared_is_told(tmp_path, change, words):
    path, machine, names = saved(tmp_path / "bench.json", [result_of("relu 10", {"numpy": 2.0})])
    written = json.loads(path.read_text())
    if isinstance(change, dict):
        path.write_text(json.dumps(written | {"machine": machine | change}))
    elif change == "results":
        path.write_text(json.dumps({key: value for key, value in written.items() if key != change}))
    elif change is None:
        path.unlink()
    else:
        path.write_text(change)
    with pytest.raises(CommandError, match=f"bench.json: {words}"):
        history.Saved(path, machine, names)
    if change is None:
        path.write_text(json.dumps(written))
        other = [result_of("tanh 10", {"numpy": 2.0})]
        with pytest.raises(CommandError, match="holds none of the cases"):
            history.Saved(tmp_path, machine, names).compare(other, never)


def test_losses_are_listed_and_red_on_a_terminal(monkeypatch):
    row = {"case": "relu 10", "threads": 2, "times_as_long": [1.31, 1.2, 1.25]}
    against = {
        "file": "old/bench.json", "ffkernels": "0.1", "date": "then", "beside": ["numpy"], "cases": 7,
        "quartiles": [0.98, 1.0, 1.02], "slower": [row],
    }  # fmt: skip
    measured = measured_of([result_of("relu 10", {"numpy": 2.0})], against=against)
    for text in (
        report.text(measured, everything=True, goals=False),
        report.markdown(measured, goals=False),
    ):
        assert "Against ffkernels 0.1 of then (old/bench.json):\n7 cases take 1.00 times as" in text
        assert "1 is slower by more than 10 %, every time of three." in text
        assert "\n- relu 10, 2 threads: 1.31, 1.20, 1.25 x\n" in text and "\033" not in text
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    text = report.text(measured, everything=True, goals=False)
    assert "\n\033[31m- relu 10, 2 threads: 1.31, 1.20, 1.25 x\033[0m\n" in text
    against["slower"] = []
    text = report.text(measured, everything=True, goals=False)
    assert "None is slower by more than 10 %." in text and "\033" not in text


def test_a_loss_is_an_exit_code(tmp_path, capfd):
    """Files that say what was measured here was four times as fast before, or as slow."""
    chosen = ["--only", "relu_backward 1000", "--quick", "--peers", "textbook,numpy", "--threads", "1"]
    assert main(["bench", *chosen, "--save", str(tmp_path)]) == 0
    measured = json.loads((tmp_path / "bench.json").read_text())
    codes = []
    for factor in (4.0, 0.25):
        results = [
            result
            | {
                "times_as_long": {name: factor * t for name, t in result["times_as_long"].items()},
                "of_the_roofline": result["of_the_roofline"] / factor,
            }
            for result in measured["results"]
        ]
        path = tmp_path / f"{factor}.json"
        path.write_text(json.dumps(measured | {"results": results}))
        capfd.readouterr()
        codes.append(main(["bench", *chosen, "--against", str(path)]))
        out = capfd.readouterr().out
        assert ("\n- relu_backward 1000, 1 thread: " in out) == (factor == 4)
        assert ("None is slower by more than 10 %" in out) == (factor < 1)
    assert codes == [1, 0]
    assert main(["bench", *chosen, "--against", str(tmp_path / "nowhere.json")]) == 2
    assert "nowhere.json: No such file" in capfd.readouterr().err


def test_mistakes_are_told_in_a_line(capsys):
    assert main(["bench", "--peers", "numpy,fortran"]) == 2
    assert "tensorflow, sklearn, got fortran" in capsys.readouterr().err
    assert main(["bench", "--only", "relu 1000", "no such thing"]) == 2
    assert "no case has a name like no such thing" in capsys.readouterr().err


def test_several_patterns_choose_what_any_of_them_would():
    names = [case.name for case in cases.cases(["tanh_grad", "softmax*x10"], quick=True, threads=1)]
    assert names and all("tanh_grad" in name or "softmax" in name for name in names)
    assert {name.split()[0] for name in names} > {"tanh_grad", "softmax", "log_softmax"}


def test_a_peer_that_cannot_run_is_named(monkeypatch, capfd):
    monkeypatch.setattr(peers.PEERS["scipy"], "package", "no_such_package")
    monkeypatch.setenv("CXX", "no-such-compiler")
    lacking = peers.lacking(["numpy", "scipy", "torch-compile"])
    assert lacking["scipy"] == "is not installed" and "numpy" not in lacking
    expected = "no-such-compiler" if importlib.util.find_spec("torch") else "is not installed"
    assert expected in lacking["torch-compile"]
    chosen = ["--only", "relu 10", "--quick", "--peers", "numpy,scipy", "--threads", "1"]
    assert main(["bench", *chosen]) == 0
    assert "SciPy is not installed: left out" in capfd.readouterr().err


def test_two_copies_of_openmp_are_not_in_one_process():
    assert peers.apart(["numpy", "torch", "numba"], 1) == [["numpy", "torch", "numba"]]
    assert peers.apart(["numpy", "torch", "numba"], 2) == [["numpy", "torch"], ["numba"]]
    assert peers.apart(["numba"], 2) == [["numba"]] and peers.apart(["torch"], 2) == [["torch"]]


def test_peers_of_another_process_stand_beside_the_others(tmp_path):
    pytest.importorskip("numba")
    chosen = ["--only", "relu 100000", "--quick", "--peers", "numpy,numba", "--threads", "2"]
    assert main(["bench", *chosen, "--save", str(tmp_path)]) == 0
    (result, *_) = json.loads((tmp_path / "bench.json").read_text())["results"]
    assert set(result["times_as_long"]) == {"numpy", "numba"}
    assert set(result["seconds"]) == {"ffkernels", "numpy", "numba", "roofline"}


def test_peers_are_kept_to_the_instruction_set_that_is_asked_for(monkeypatch):
    monkeypatch.delenv("FFKERNELS_ISA", raising=False)
    assert "ATEN_CPU_CAPABILITY" not in peers.environment(1, "numpy", "")
    monkeypatch.setenv("FFKERNELS_ISA", "avx2")
    environment = peers.environment(1, "numpy", "")
    assert environment["ATEN_CPU_CAPABILITY"] == "avx2"
    script = "import numpy; print(numpy.show_config(mode='dicts')['SIMD Extensions'])"
    run = subprocess.run(
        [sys.executable, "-c", script], env=environment, check=True, capture_output=True, text=True
    )
    found = run.stdout.partition("'not found'")[0]
    assert "AVX512" not in found and "X86_V4" not in found and not run.stderr


def test_goals_are_shown_only_when_asked_for():
    row = {
        "work": "relu", "figure": "us a call", "threads": 1, "wanted": "<= 1", "measured": 2.0,
        "worst": "relu 10", "cases": 3, "missed": 1, "met": False,
    }  # fmt: skip
    measured = measured_of([result_of("relu 10", {"numpy": 2.0})], wanted=[row])
    for write in (
        lambda goals: report.text(measured, everything=True, goals=goals),
        lambda goals: report.markdown(measured, goals=goals),
    ):
        assert "wanted" not in write(False) and "missed in 1 of 3" in write(True)


def test_goals_are_judged_by_the_worst_case_of_the_backend_that_ran():
    results = [
        result_of("relu 1000", {"numpy": 1.5}, **{"us_a_call": 0.4}),
        result_of("tanh 1000", {"numpy": 0.8}, **{"us_a_call": 0.6}),
    ]
    rows = {(r["work"], r["figure"]): r for r in goals.judge(measured_of(results))}
    tiny = rows["tiny arrays, up to 1000", "us a call"]
    assert (tiny["measured"], tiny["worst"], tiny["missed"], tiny["met"]) == (0.6, "tanh 1000", 1, False)
    assert rows["every case, less noise", "the best peer takes, times as long"]["measured"] == 0.8

    large = [result_of("relu 100000", {"numpy": 1 / 1.3, "torch": 0.1}, elements=10**5)]
    measured = measured_of(large)
    measured["machine"]["backend"] = "numpy"
    (row,) = goals.judge(measured)
    assert row["figure"] == "times plain NumPy" and row["measured"] == pytest.approx(1.3)
    assert not row["met"]


def test_what_a_peer_does_faster_is_said():
    results = [
        result_of("relu 10", {"numpy": 0.96, "torch": 3.0}),
        result_of("relu 1000", {"numpy": 2.0, "torch": 0.9}),
        result_of("relu 100000", {"numpy": 0.8, "torch": 0.7}),
        result_of("tanh 10", {"contiguous": 0.1, "roofline": 0.1, "numpy": 1.0}),
    ]
    measured = measured_of(results)
    for text in (
        report.text(measured, everything=True, goals=False),
        report.markdown(measured, goals=False),
    ):
        assert "faster by more than 5 % in 2 of 4 cases" in text
        assert "- relu 100000, 1 thread: PyTorch 0.70 x, and less so in 1 more" in text
        assert "- tanh" not in text
    assert "none of 1 cases" in report.text(measured_of(results[:1]), everything=True, goals=False)


def test_the_gain_of_threads_is_that_of_the_times_shown(tmp_path, capfd):
    chosen = ["--only", "softmax 1000x100", "--quick", "--peers", "numpy", "--threads", "1,2"]
    assert main(["bench", *chosen, "--save", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "bench.json").read_text())["results"]
    by_threads = {r["threads"]: r for r in results if r["case"] == "softmax 1000x100"}
    assert by_threads[1]["gain_over_one_thread"] is None
    assert by_threads[2]["gain_over_one_thread"] == pytest.approx(
        by_threads[1]["us_a_call"] / by_threads[2]["us_a_call"]
    )


def test_epochs_are_summed_up_in_a_line():
    sizes = {"group": "epochs", "shape": [20000, 784]}
    results = [
        result_of("epoch 20000x784 batch 16 sgd", {"numpy": 1.91, "torch": 3.04}, **sizes),
        result_of("epoch 20000x784 batch 512 sgd", {"numpy": 1.5, "torch": 1.06}, **sizes),
    ]
    text = report.text(measured_of(results), everything=False, goals=False)
    assert "NumPy, plain 1.5 to 1.9 x; PyTorch 1.1 to 3.0 x as long." in text


def test_a_summary_fits_a_terminal():
    times = dict.fromkeys(set(peers.PEERS) - {"sklearn"}, 123.4)
    epoch_times = dict.fromkeys(set(peers.PEERS) - {"scipy", "tensorflow"}, 123.4)
    function = result_of("softmax_cross_entropy_with_grad 512x32000", times)
    function |= {"of_the_roofline": 12.3, "gain_over_one_thread": 1.23, "us_a_call": 12345.0}
    epoch = result_of("epoch 20000x784 batch 512 adam", epoch_times, group="epochs")
    names = dict.fromkeys(peers.PEERS, "2")
    measured = measured_of([function, epoch | {"shape": [20000, 784]}], peers=names)
    text = report.text(measured, everything=False, goals=False)
    tables = text.split("number of threads:")[1].split("An epoch of")[0]
    assert max(map(len, tables.splitlines())) <= 120 and "scikit-learn" in tables


def test_tables_are_aligned_without_empty_columns():
    rows = {"relu": [["10", "1.5 x", ""], ["100", "10 x", ""]], "tanh": [["10", "2 x", ""]]}
    assert markdown.aligned(["size", "of it\nalone", "none"], rows).splitlines() == [
        "        of it",
        "  size  alone",
        "relu",
        "  10    1.5 x",
        "  100    10 x",
        "tanh",
        "  10      2 x",
    ]


@pytest.mark.parametrize("name", sorted(BY_NAME))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_peers_compute_the_same(loaded, monkeypatch, name, dtype):
    """A race against another function, or a wrong one, would prove nothing."""
    of_peers = "ffkernels._benchmark.peers"
    monkeypatch.setattr(f"{of_peers}.torch._COMPILED_FROM", 0)
    monkeypatch.setattr(f"{of_peers}.tensorflow._XLA_FROM", 0 if dtype == "float32" else 1e9)
    operation = BY_NAME[name]
    arguments = operation.draw(np.random.default_rng(0), (20, 30), np.dtype(dtype))
    expected = _arrays(operation.textbook(*arguments, **operation.options[0]))
    if operation.kind == "update":  # the gradient, which stays as it is, is the second of the state
        expected.insert(1, arguments[1])
    _, out = cases.our_call(operation, arguments)
    for peer_name, peer in loaded.items():
        call = peer.call(name, arguments, out)
        if call is None:
            continue
        result = _results(peer, call, operation)
        for got, want in zip(result, expected, strict=True):
            if np.ndim(want):
                assert str(got.dtype).endswith(dtype), peer_name
            got = got.detach().numpy() if hasattr(got, "detach") else np.asarray(got)
            # The epsilon inside a book's logarithm is worth as much.
            np.testing.assert_allclose(
                got.reshape(np.shape(want)), want, rtol=1e-3, atol=1e-6, err_msg=peer_name
            )


def _results(peer, call, operation):
    """Return what a call gives: its state, or its value and the arrays it was given to fill."""
    value = call()
    if operation.kind == "update":
        return peer.state
    operands = len(operation.draw(np.random.default_rng(0), (2, 2), np.float32))
    filled = [a for a in call.arguments[operands:] if hasattr(a, "shape")]
    if value is None and not filled:
        (filled,) = [call.function.__self__] if hasattr(call.function, "__self__") else []
    values = [v for v in _arrays(value) if v is not None and not any(v is f for f in filled)]
    if operation.name.endswith("_backward_bias"):
        return filled + values
    return values + filled


def _arrays(result):
    return list(result) if isinstance(result, tuple) else [result]


@pytest.mark.parametrize("name", ["relu_backward_bias", "softmax_cross_entropy_with_grad"])
def test_loops_in_parallel_compute_the_same(name):
    if "numba" not in PEERS:
        pytest.skip("needs Numba")
    operation, peer = BY_NAME[name], peers.PEERS["numba"](3)
    arguments = operation.draw(np.random.default_rng(0), (20, 30), np.dtype(np.float32))
    results = _results(peer, peer.call(name, arguments, arguments[0]), operation)
    for got, want in zip(results, operation.textbook(*arguments), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)


def test_peers_compute_the_same_of_a_linear_layer(loaded):
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((5, 6), np.float32), rng.standard_normal((6, 7), np.float32)
    t = rng.integers(0, 7, 5)
    loss, (dx, dw, _) = ffkernels.linear_cross_entropy_with_grad(x, w, t)
    computed = set()
    for name, peer in loaded.items():
        into = np.zeros_like(w)
        call = peer.call("linear_cross_entropy_with_grad", (x, w, t), into)
        if call is None:
            continue
        computed.add(name)
        value, grads = call()
        if name == "numpy":  # which puts the second where it is told
            grads = grads, call.arguments[-1]
        for got, want in zip((value, *grads), (loss, dx, dw), strict=True):
            got = got.detach() if hasattr(got, "detach") else got
            np.testing.assert_allclose(np.asarray(got), want, rtol=1e-4, atol=1e-5, err_msg=name)
    assert computed == {"textbook", "numpy", *({"torch", "jax"} & set(PEERS))}


@pytest.mark.parametrize("axis", [0, 1])
def test_peers_compute_along_any_axis(loaded, axis):
    x = np.random.default_rng(0).standard_normal((4, 5, 6)).astype(np.float32)
    want = ffkernels.softmax(x, axis)
    for name, peer in loaded.items():
        call = peer.call("softmax", (x,), np.empty_like(x), axis)
        if call is None:
            continue
        (got,) = map(np.asarray, _results(peer, call, BY_NAME["softmax"]))
        got = np.moveaxis(got, -1, axis) if name in ("textbook", "numpy") else got
        np.testing.assert_allclose(got, want, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_all_peers_train_the_same_net(loaded, optimizer):
    """Losses of three epochs of one batch: two updates, with Adam's corrections, lie between them."""
    net, x, t = cases.step_arguments(16)
    before = {name: param.copy() for name, param in net.params.items()}
    lr = {"sgd": 0.05, "adam": 1e-3}[optimizer]
    calls = {name: peer.epoch(net.params, x, t, 16, optimizer, lr) for name, peer in loaded.items()}
    rule = {"sgd": SGD, "adam": Adam}[optimizer](lr)
    want = [float(net.train_step(x, t, rule)) for _ in range(3)]
    assert want[0] > 1.05 * want[2]
    trained = [name for name, call in calls.items() if call is not None]
    assert set(trained) == set(PEERS) - {"scipy", "tensorflow"}
    for name in trained:
        losses = [calls[name]() for _ in want]
        losses = [float(v.detach() if hasattr(v, "detach") else v) for v in losses]
        assert losses == pytest.approx(want, rel=1e-4), name
    assert all((before[name] != param).any() for name, param in net.params.items())


def test_an_epoch_is_every_row_once_in_the_smaller_last_batch_too(loaded):
    net, x, t = cases.step_arguments(40)
    want = [float(net.train_step(x[k : k + 16], t[k : k + 16], SGD(0.1))) for k in (0, 16, 32)]
    for name in ("textbook", "numpy", *({"numba", "torch", "jax"} & set(PEERS))):
        start, _, _ = cases.step_arguments(40)
        loss = loaded[name].epoch(start.params, x, t, 16, "sgd", 0.1)()
        assert float(loss.detach() if hasattr(loss, "detach") else loss) == pytest.approx(
            want[-1], rel=1e-4
        ), name


def test_matrix_products_are_the_eight_of_a_step(monkeypatch):
    net, x, _ = cases.step_arguments(16)
    products = rooflines.matrix_products(net, x)
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


def test_every_case_has_ours_and_most_a_roofline():
    for case in cases.cases(["10"], quick=True, threads=1):
        calls = case.contenders({}, 2)
        assert cases.OURS in calls
        assert (rooflines.ROOFLINE in calls) == (case.operation != "cross_entropy")
        for call in calls.values():
            call()


def test_rounds_alternate_and_each_turn_has_a_pause_and_an_untimed_call_before_it(monkeypatch):
    order = []
    monkeypatch.setattr(rounds.time, "sleep", lambda seconds: order.append(seconds))
    calls = {name: rounds.Call(order.append, (name,)) for name in "ab"}
    effort = rounds.Effort(rounds=3, least=3, seconds=0, turn=0)
    turns = rounds.measure(calls, effort)
    assert {name: len(seconds) for name, seconds in turns.items()} == {"a": 3, "b": 3}
    assert order[-18:] == [0.01, "a", "a", 0.01, "b", "b"] * 3


def test_compiled_pytorch_is_left_out_where_calls_decide(loaded):
    if "torch-compile" not in loaded:
        pytest.skip("needs PyTorch and a C++ compiler")
    small, large = np.ones((10, 10), np.float32), np.ones((100, 100), np.float32)
    assert loaded["torch-compile"].call("softmax", (small,), small) is None
    assert loaded["torch-compile"].call("softmax", (large,), large) is not None


def test_pytorch_compiles_to_the_same_loss(loaded, monkeypatch):
    if "torch-compile" not in loaded:
        pytest.skip("needs PyTorch and a C++ compiler")
    name, peer = "softmax_cross_entropy_with_grad", loaded["torch-compile"]
    x, t = BY_NAME[name].draw(np.random.default_rng(0), (20, 30), np.float32)
    want, grad = ffkernels.softmax_cross_entropy_with_grad(x, t)
    monkeypatch.setattr("ffkernels._benchmark.peers.torch._IN_PLACE_FROM", 0)  # the form of large arrays
    call = peer.call(name, (x, t), x)
    compiled = peer.torch.compile(call.function.__wrapped__, backend="inductor", fullgraph=True)
    assert float(compiled(*call.arguments)) == pytest.approx(want, rel=1e-5)
    np.testing.assert_allclose(call.arguments[-1], grad, rtol=1e-4, atol=1e-7)
