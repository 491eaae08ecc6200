"""Files of nets: what is damaged, foreign or lies is refused in words, before memory is taken for it.

No interruption costs the file that was there.
"""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import zipfile

import numpy as np
import pytest

from ffkernels import FeedForward, InputLayer
from ffkernels.tables import TABLE, Column, TableNet


@pytest.fixture
def net():
    return FeedForward([2, 3, 2], seed=0)


def npy(header, data=b""):
    """A file of NumPy's format 1.0 with this header, whatever it says."""
    text = header.encode("latin1")
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


def described(shape, descr="<f4", order=False):
    return f"{{'descr': {descr!r}, 'fortran_order': {order}, 'shape': {shape}, }}\n"


def replaced(net, path, members, compression=zipfile.ZIP_STORED):
    """The file of a net, some members of which are others: bytes, arrays, or None for none."""
    net.save(path)
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    for name, value in members.items():
        if isinstance(value, bytes) or value is None:
            contents[f"{name}.npy"] = value
        else:
            file = io.BytesIO()
            np.save(file, value)
            contents[f"{name}.npy"] = file.getvalue()
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in contents.items():
            if content is not None:
                archive.writestr(name, content)


EXPECTED = "^path: expected a file from FeedForward.save, got "
HEADERS = {
    "more than there is": npy(described((2, 3)), bytes(23)),
    "less than there is": npy(described((2, 3)), bytes(25)),
    "terabytes": npy(described((2**40, 2**10))),
    "more than can be counted": npy(described((2**62, 2**62, 2**62))),
    "a negative shape": npy(described((-2, -3)), bytes(24)),
    "no shape": npy("{'descr': '<f4', 'fortran_order': False}\n"),
    "a shape of text": npy(described("('a',)")),
    "no header": npy(""),
    "no dictionary": npy("7\n"),
    "keys of no hash": npy("{[]: 1}\n"),
    "brackets": npy("(" * 9000),
    "signs": npy("-" * 9000 + "1"),
    "an open string": npy("{'descr': '"),
    "an open bracket": npy("{'descr': ("),
    "a longer header than is read": npy(" " * 20000),
    "objects": npy(described((1,), "|O"), b"cos\nsystem\n"),
    "no type": npy(described((2, 3), "nothing"), bytes(24)),
    "a type of fields without end": npy(described((2, 3), [("a", "<f4", 2**31)]), bytes(24)),
    "a type of a terabyte": npy(described((), "|V1099511627775")),
    "no elements of a terabyte": npy(described((0, 2**60))),
    "a version that there is not": b"\x93NUMPY\x09\x00\x02\x00{}",
    "nothing": b"",
    "text": b"no array",
}


@pytest.mark.parametrize("what", HEADERS)
def test_headers_that_lie(net, tmp_path, what):
    path = tmp_path / "net.npz"
    replaced(net, path, {"W1": HEADERS[what]})
    with pytest.raises(ValueError, match=EXPECTED):
        FeedForward.load(path)


CONTENTS = {
    "sizes of text": {"sizes": np.array(["2", "3", "2"])},
    "sizes of floats": {"sizes": np.array([2.0, 3.0, 2.0])},
    "no list of sizes": {"sizes": np.array(3)},
    "one size": {"sizes": np.array([2])},
    "sizes below 1": {"sizes": np.array([2, -3, 2])},
    "sizes of terabytes": {"sizes": np.array([2**40, 2**40])},
    "sizes beyond any memory": {"sizes": np.array([2, 2**62, 2])},
    "other sizes than the arrays": {"sizes": np.array([2, 4, 2])},
    "no type of that name": {"dtype": np.array("float99")},
    "a type with an open bracket": {"dtype": np.array("(1,f4")},
    "another type": {"dtype": np.array("int64")},
    "two types": {"dtype": np.array(["float32", "float32"])},
    "another activation": {"activation": np.array("step")},
    "another loss": {"loss": np.array("hinge")},
    "no bias": {"b1": None},
    "no sizes": {"sizes": None},
    "text for weights": {"W1": np.full((2, 3), "1")},
    "complex weights": {"W1": np.ones((2, 3), complex)},
    "weights of another shape": {"W1": np.ones((3, 2), np.float32)},
    "one number for weights": {"W1": np.ones((), np.float32)},
}


@pytest.mark.parametrize("what", CONTENTS)
def test_arrays_that_make_no_net(net, tmp_path, what):
    path = tmp_path / "net.npz"
    replaced(net, path, CONTENTS[what])
    with pytest.raises(ValueError, match=EXPECTED):
        FeedForward.load(path)


def test_archives_of_other_kinds(net, tmp_path):
    path = tmp_path / "net.npz"
    replaced(net, path, {}, zipfile.ZIP_DEFLATED)  # as numpy.savez_compressed writes it
    np.testing.assert_array_equal(FeedForward.load(path).params["W1"], net.params["W1"])
    for method in zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA:  # which ask for memory by what the data say
        replaced(net, path, {}, method)
        with pytest.raises(ValueError, match=f"{EXPECTED}.*: sizes.npy is neither stored nor deflated"):
            FeedForward.load(path)


def test_a_small_file_that_would_fill_memory(net, tmp_path):
    """A thousand times its size is what deflation can hide; but not more than the header says."""
    path = tmp_path / "net.npz"
    replaced(net, path, {"W1": npy(described((2, 3)), bytes(2**26))}, zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match=f"{EXPECTED}.*: W1.npy holds another number of bytes than "):
        FeedForward.load(path)


def flipped(path, bits):
    """Each byte in turn with some bits the other way round, and each shorter file."""
    whole = path.read_bytes()
    for at in range(0, len(whole), 7):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ bits]) + whole[at + 1 :])
        yield
        path.write_bytes(whole[:at])
        yield
    path.write_bytes(whole)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_wrong_bytes(net, tmp_path, method):
    path = tmp_path / "net.npz"
    replaced(net, path, {}, method)
    for _ in flipped(path, 0xFF):
        try:
            loaded = FeedForward.load(path)
        except ValueError as error:
            assert str(error).startswith(EXPECTED[1:])
        else:
            np.testing.assert_array_equal(loaded.params["W1"], net.params["W1"])


@pytest.fixture
def table(net):
    layer = InputLayer().fit([[1.0, 2.0], [3.0, 5.0]])
    return TableNet([Column("a"), Column("b")], layer, net, "t", ["x", "y"])


TABLES = {
    "brackets": lambda text: "[" * 100_000,
    "a number beyond floats": lambda text: text.replace('"mean": 0.0', f'"mean": {10**400}'),
    "a scale beyond floats": lambda text: text.replace('"divisor": [', f'"divisor": [{10**400}, '),
    "columns of terabytes": lambda text: text.replace('"n_features_in": 2', '"n_features_in": 1e300'),
    "columns beyond the machine": lambda text: text.replace('"columns": [0', f'"columns": [{10**30}'),
    "a name that is none": lambda text: text.replace('"name": "a"', '"name": {}, "categories": [[]]'),
    "no categories": lambda text: text.replace('"categories": null', '"categories": []'),
    "classes that are none": lambda text: text.replace('"classes": ["x", "y"]', '"classes": [[], {}]'),
    "not what JSON is": lambda text: "\ud800",
}


@pytest.mark.parametrize("what", TABLES)
def test_tables_that_lie(table, tmp_path, what):
    path = tmp_path / "net.npz"
    table.save(path)
    text = str(np.load(path)[f"extras/{TABLE}"])
    changed = TABLES[what](text)
    assert changed != text and json.loads(text)
    replaced(table.net, path, {f"extras/{TABLE}": np.array(changed)})
    with pytest.raises(ValueError, match=r"^path: expected a file that train --save or TableNet\.save"):
        TableNet.load(path)


SAVE = "import sys; from ffkernels import FeedForward; net = FeedForward([2, 3, 2], seed=0)\n"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no way to end a process at once")
def test_a_process_that_is_killed_while_it_saves(net, tmp_path):
    path = tmp_path / "net.npz"
    net.save(path)
    whole = path.read_bytes()
    program = SAVE + (
        "import os, signal, numpy\n"
        "def half(file, **arrays):\n"
        "    file.write(b'half of it'); file.flush()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "numpy.savez = half\n"
        "net.save(sys.argv[1])\n"
    )
    run = subprocess.run([sys.executable, "-c", program, str(path)])
    assert run.returncode == -signal.SIGKILL
    assert path.read_bytes() == whole


def test_a_save_that_is_interrupted(net, tmp_path, monkeypatch):
    path = tmp_path / "net.npz"
    net.save(path)
    whole = path.read_bytes()

    def interrupted(file, **arrays):
        file.write(b"half of it")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", interrupted)
    with pytest.raises(KeyboardInterrupt):
        net.save(path)
    assert path.read_bytes() == whole and os.listdir(tmp_path) == ["net.npz"]


def test_threads_that_save_to_one_file(tmp_path):
    """Each writes a whole file, of which the last one stays."""
    path = tmp_path / "net.npz"
    nets = [FeedForward([40, 50, 2], seed=seed) for seed in range(4)]
    failed = []

    def save(net):
        try:
            for _ in range(20):
                net.save(path)
                FeedForward.load(path)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=save, args=(net,)) for net in nets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed and os.listdir(tmp_path) == ["net.npz"]
    last = FeedForward.load(path).params["W1"]
    assert any((net.params["W1"] == last).all() for net in nets)
