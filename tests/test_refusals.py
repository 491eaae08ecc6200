"""What is refused: by which exception, in which words, the same in both backends, with nothing written.

`REFUSED` spells them out. What holds of every function in the table of operations, whatever is added to
it, is tried at the end; there the backends are compared with each other.
"""

import inspect as signatures
import itertools

import ml_dtypes
import numpy as np
import pytest
from numpy.exceptions import AxisError

import ffkernels as ff
from ffkernels import SGD, Adam, FeedForward, InputLayer, inspect, layers
from ffkernels._operations import OPERATIONS, UPDATE_NUMBERS

# Of more logits than can be counted.
TALL, WIDE = np.broadcast_to(np.float32(0), (2**40, 4)), np.broadcast_to(np.float32(0), (4, 2**40))
REAL = "expected real numbers (float16, bfloat16, float32, float64, integers or bools), got dtype"


class Unreadable:
    """What says that it is an array, and is none."""

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("nobody home")


class Arrays:
    """What the calls are given, made anew for each; `memory` is every byte of it."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.x, self.y, self.out, self.param, self.m, self.v = rng.random((6, 3, 4), np.float32)
        self.p = self.x / self.x.sum(axis=1, keepdims=True)
        self.t = np.array([0, 1, 2])
        self.shared, self.square = rng.random((5, 4), np.float32), rng.random((4, 4), np.float32)
        self.matrix, self.cube = rng.random((4, 5), np.float32), rng.random((2, 3, 4), np.float32)
        self.row, self.five, self.column = (np.ones(shape, np.float32) for shape in (4, 5, (3, 1)))
        self.wide, self.half, self.whole = (np.ones((3, 4), dtype) for dtype in ("f8", "f2", "i4"))
        self.bfloat = np.ones((3, 4), ml_dtypes.bfloat16)
        self.read_only = np.ones((3, 4), np.float32)
        self.read_only.flags.writeable = False
        self.folded = np.lib.stride_tricks.as_strided(np.ones(6, np.float32), (3, 4), (4, 4))
        self.unaligned = np.zeros(49, np.uint8)[1:].view(np.float32).reshape(3, 4)
        self.affine = layers.Affine(self.matrix.copy(), self.five.copy(), copy=True)
        self.relu, self.loss = layers.Relu(copy=True), layers.SoftmaxWithLoss(copy=True)
        self.affine.forward(self.y)
        self.relu.forward(self.y)
        self.loss.forward(self.y, self.t)
        self.layer = InputLayer().fit(self.y)
        self.net, self.adam = FeedForward([4, 5, 3], seed=0), Adam()
        self.net.gradient(self.x, self.t)
        self.adam.update([self.m.copy()], [self.y])

    def memory(self):
        arrays = [value for value in vars(self).values() if isinstance(value, np.ndarray)]
        arrays += [*self.affine.params, *self.affine.grads, self.affine._saved, self.relu._saved]
        arrays += [self.loss.y, self.loss.t]
        arrays += [*self.net.params.values(), *self.net.grads.values(), *self.adam._state().values()]
        arrays += [*vars(self.layer).values()]
        return [array.tobytes() if isinstance(array, np.ndarray) else array for array in arrays]


# What is done, the exception, its message.
REFUSED = [
    # What is no array of real numbers.
    (lambda a: ff.relu("x"), TypeError, f"x: {REAL} <U1"),
    (lambda a: ff.relu(None), TypeError, f"x: {REAL} object (NoneType)"),
    (lambda a: ff.relu({"a": 1}), TypeError, f"x: {REAL} object (dict)"),
    (lambda a: ff.relu({1.0}), TypeError, f"x: {REAL} object (set)"),
    (lambda a: ff.relu(object()), TypeError, f"x: {REAL} object (object)"),
    (lambda a: ff.relu(1j), TypeError, f"x: {REAL} complex128"),
    (lambda a: ff.relu([1, 2j]), TypeError, f"x: {REAL} complex128"),
    (lambda a: ff.relu(a.x.astype("M8[s]")), TypeError, f"x: {REAL} datetime64[s]"),
    (lambda a: ff.relu(a.x.astype(object)), TypeError, f"x: {REAL} object (float)"),
    (lambda a: ff.relu([1.0, None]), TypeError, f"x: {REAL} object (NoneType, float)"),
    (lambda a: ff.relu([b"a"]), TypeError, f"x: {REAL} |S1"),
    (lambda a: ff.relu(np.zeros(3, [("a", "f4")])), TypeError, f"x: {REAL} [('a', '<f4')]"),
    (lambda a: ff.relu(np.ma.masked_array([1.0])), TypeError,
     "x: expected a plain array, got MaskedArray"),
    (lambda a: ff.relu(a.x.view(np.matrix)), TypeError, "x: expected a plain array, got matrix"),
    (lambda a: ff.relu(2**70), TypeError, f"x: {REAL} object (int)"),
    (lambda a: ff.relu([[1.0], [1.0, 2.0]]), ValueError,
     "x: expected rows of one length, got a ragged list: row 0 has length 1, row 1 has length 2"),
    (lambda a: ff.relu([[[1], [2]], [[1], [2, 3]]]), ValueError,
     "x: expected rows of one length, got a ragged list: row 0 has length 1, row 1 has length 2"),
    (lambda a: ff.relu([1.0, [2.0]]), ValueError,
     "x: expected rows of one length, got a ragged list: row 0 is 1.0, row 1 has length 1"),
    (lambda a: ff.relu([np.array(1.0), a.x[0]]), ValueError,
     "x: expected rows of one length, got a ragged list: row 0 is array(1.), row 1 has length 4"),
    (lambda a: ff.relu([[], [1.0]]), ValueError,
     "x: expected rows of one length, got a ragged list: row 0 has length 0, row 1 has length 1"),
    (lambda a: ff.relu([(1.0, 2.0), a.x[0]]), ValueError,
     "x: expected rows of one length, got a ragged list: row 0 has length 2, row 1 has length 4"),
    (lambda a: ff.relu(Unreadable()), TypeError,
     "x: expected an array that NumPy can read, got Unreadable: nobody home"),
    (lambda a: ff.softmax(["1", "2"]), TypeError, f"x: {REAL} <U1"),
    (lambda a: ff.tanh_grad(lambda x: x), TypeError, f"x: {REAL} object (function)"),
    (lambda a: ff.sigmoid_backward(a.x, "y"), TypeError, f"y: {REAL} <U1"),
    (lambda a: ff.log_softmax(np.array(["1"])), TypeError, f"x: {REAL} <U1"),
    (lambda a: ff.logsumexp([1j]), TypeError, f"x: {REAL} complex128"),
    # Outputs.
    (lambda a: ff.relu(a.x, out=[1]), TypeError, "out: expected a NumPy array or None, got list"),
    (lambda a: ff.relu(a.x, out=a.x.tolist()), TypeError,
     "out: expected a NumPy array or None, got list"),
    (lambda a: ff.relu(a.x, out=memoryview(a.out)), TypeError,
     "out: expected a NumPy array or None, got memoryview"),
    (lambda a: ff.relu(a.x, out=np.ma.masked_array(a.out)), TypeError,
     "out: expected a NumPy array or None, got MaskedArray"),
    (lambda a: ff.relu(a.x, out=a.out.view(np.matrix)), TypeError,
     "out: expected a NumPy array or None, got matrix"),
    (lambda a: ff.relu(a.x, out=a.wide), TypeError, "out: expected dtype float32, got float64"),
    (lambda a: ff.relu(a.x, out=a.half), TypeError, "out: expected dtype float32, got float16"),
    (lambda a: ff.relu(a.x, out=a.whole), TypeError, "out: expected dtype float32, got int32"),
    (lambda a: ff.relu(a.half, out=a.out), TypeError, "out: expected dtype float16, got float32"),
    (lambda a: ff.relu(a.wide, out=a.out), TypeError, "out: expected dtype float64, got float32"),
    (lambda a: ff.relu(a.whole, out=a.out), TypeError, "out: expected dtype float64, got float32"),
    (lambda a: ff.relu(a.x, out=a.out[:2]), ValueError, "out: expected shape (3, 4), got (2, 4)"),
    (lambda a: ff.relu(a.x, out=a.out.T), ValueError, "out: expected shape (3, 4), got (4, 3)"),
    (lambda a: ff.relu(a.x, out=a.out[None]), ValueError, "out: expected shape (3, 4), got (1, 3, 4)"),
    (lambda a: ff.relu(1.0, out=np.empty(1)), ValueError, "out: expected shape (), got (1,)"),
    (lambda a: ff.relu(a.x[:0], out=a.out), ValueError, "out: expected shape (0, 4), got (3, 4)"),
    (lambda a: ff.relu(a.x, out=a.read_only), ValueError,
     "out: expected a writeable array, got a read-only one"),
    (lambda a: ff.relu(a.x, out=np.broadcast_to(a.out[:1], (3, 4))), ValueError,
     "out: expected a writeable array, got a read-only one"),
    (lambda a: ff.relu(a.shared[:3], out=a.shared[1:4]), ValueError,
     "out: expected memory apart from x, or exactly the same array, got one that overlaps it"),
    (lambda a: ff.relu(a.x, out=a.x[::-1]), ValueError,
     "out: expected memory apart from x, or exactly the same array, got one that overlaps it"),
    (lambda a: ff.relu(a.x, out=a.x[:, ::-1]), ValueError,
     "out: expected memory apart from x, or exactly the same array, got one that overlaps it"),
    (lambda a: ff.relu(a.square, out=a.square.T), ValueError,
     "out: expected memory apart from x, or exactly the same array, got one that overlaps it"),
    (lambda a: ff.relu(a.x, out=a.folded), ValueError,
     "out: expected distinct elements, got an array that overlaps itself"),
    (lambda a: ff.relu(a.x.view(">f4"), out=a.x), ValueError,
     "out: expected memory apart from x, or exactly the same array, got one that overlaps it"),
    (lambda a: ff.relu_backward(a.x, a.shared[:3], out=a.shared[1:4]), ValueError,
     "out: expected memory apart from y, or exactly the same array, got one that overlaps it"),
    (lambda a: ff.tanh_backward(a.shared[:3], a.x, out=a.shared[2:]), ValueError,
     "out: expected memory apart from dy, or exactly the same array, got one that overlaps it"),
    (lambda a: ff.softmax(a.x, out=a.x[::-1]), ValueError,
     "out: expected memory apart from x, or exactly the same array, got one that overlaps it"),
    (lambda a: ff.softmax(a.x, out=a.wide), TypeError, "out: expected dtype float32, got float64"),
    (lambda a: ff.softmax_backward(a.x, a.y, out=a.y[:, ::-1]), ValueError,
     "out: expected memory apart from y, or exactly the same array, got one that overlaps it"),
    (lambda a: ff.log_softmax_backward(a.x, a.y, out=a.read_only), ValueError,
     "out: expected a writeable array, got a read-only one"),
    (lambda a: ff.logsumexp(a.x, out=a.x), ValueError, "out: expected shape (3,), got (3, 4)"),
    (lambda a: ff.logsumexp(a.x, out=a.x[:, 0]), ValueError,
     "out: expected memory apart from x, got one that overlaps it"),
    (lambda a: ff.logsumexp(a.x, out=a.row), ValueError, "out: expected shape (3,), got (4,)"),
    (lambda a: ff.logsumexp(a.x, keepdims=True, out=a.row), ValueError,
     "out: expected shape (3, 1), got (4,)"),
    (lambda a: ff.logsumexp(a.x, axis=0, out=a.column), ValueError,
     "out: expected shape (4,), got (3, 1)"),
    (lambda a: ff.logsumexp(a.x, out=a.column.astype(float)), TypeError,
     "out: expected dtype float32, got float64"),
    # Shapes that do not fit.
    (lambda a: ff.relu_backward(a.x, a.x[:2]), ValueError,
     "y: expected the shape of dy, (3, 4), got (2, 4)"),
    (lambda a: ff.relu_backward(a.x, a.x[0]), ValueError,
     "y: expected the shape of dy, (3, 4), got (4,)"),
    (lambda a: ff.sigmoid_backward(a.x, 1.0), ValueError, "y: expected the shape of dy, (3, 4), got ()"),
    (lambda a: ff.identity_backward(a.x, a.x.T), ValueError,
     "y: expected the shape of dy, (3, 4), got (4, 3)"),
    (lambda a: ff.softmax_backward(a.x, a.x[None]), ValueError,
     "y: expected the shape of dy, (3, 4), got (1, 3, 4)"),
    (lambda a: ff.relu_backward(a.half, a.bfloat), TypeError,
     "y: expected a dtype that goes with float16 of dy, got bfloat16"),
    (lambda a: ff.bias_relu(a.x, np.ones(3)), ValueError,
     "b: expected the shape of x's last axis, (4,), got (3,)"),
    (lambda a: ff.bias_relu(a.x, 1.0), ValueError,
     "b: expected the shape of x's last axis, (4,), got ()"),
    (lambda a: ff.bias_tanh(a.x, a.x), ValueError,
     "b: expected the shape of x's last axis, (4,), got (3, 4)"),
    (lambda a: ff.bias_relu(1.0, [1.0]), ValueError, "x: expected at least one dimension, got none"),
    (lambda a: ff.bias_sigmoid(a.x, ["1"] * 4), TypeError, f"b: {REAL} <U1"),
    (lambda a: ff.bias_relu(a.x, a.x[0], out=a.x), ValueError,
     "out: expected memory apart from b, got one that overlaps it"),
    (lambda a: ff.bias_relu(a.x, a.row, out=a.wide), TypeError,
     "out: expected dtype float32, got float64"),
    (lambda a: ff.bias_identity(a.half, a.bfloat[0]), TypeError,
     "b: expected a dtype that goes with float16 of x, got bfloat16"),
    (lambda a: ff.elu_backward_bias(a.half, a.half, a.bfloat[0]), TypeError,
     "b: expected a dtype that goes with float16 of x, got bfloat16"),
    (lambda a: ff.elu_backward_bias(a.half, a.bfloat, a.half[0]), TypeError,
     "x: expected a dtype that goes with float16 of dy, got bfloat16"),
    (lambda a: ff.relu_backward_bias(1.0, 1.0), ValueError,
     "dy: expected at least one dimension, got none"),
    (lambda a: ff.relu_backward_bias(a.x, a.y, out_bias=a.row[:3]), ValueError,
     "out_bias: expected shape (4,), got (3,)"),
    (lambda a: ff.relu_backward_bias(a.x, a.y, out_bias=a.x[0]), ValueError,
     "out_bias: expected memory apart from dy, got one that overlaps it"),
    (lambda a: ff.relu_backward_bias(a.x, a.y, out_bias=a.wide[0]), TypeError,
     "out_bias: expected dtype float32, got float64"),
    (lambda a: ff.tanh_backward_bias(a.x, a.y, out=a.out, out_bias=a.out[0]), ValueError,
     "out_bias: expected memory apart from out, got one that overlaps it"),
    (lambda a: ff.identity_backward_bias(a.x, a.y, out_bias=a.read_only[0]), ValueError,
     "out_bias: expected a writeable array, got a read-only one"),
    (lambda a: ff.sigmoid_backward_bias(a.x[0], a.y[0], out_bias=a.x[0]), ValueError,
     "out_bias: expected memory apart from dy, got one that overlaps it"),
    # Axes.
    (lambda a: ff.softmax(a.x, axis=2), AxisError, "axis 2 is out of bounds for array of dimension 2"),
    (lambda a: ff.softmax(a.x, axis=-3), AxisError, "axis -3 is out of bounds for array of dimension 2"),
    (lambda a: ff.softmax(a.x, axis=2**70), AxisError,
     "axis 1180591620717411303424 is out of bounds for array of dimension 2"),
    (lambda a: ff.softmax(a.x, axis=0.5), TypeError, "axis: expected an integer, got float"),
    (lambda a: ff.softmax(a.x, axis=None), TypeError, "axis: expected an integer, got NoneType"),
    (lambda a: ff.softmax(a.x, axis="rows"), TypeError, "axis: expected an integer, got str"),
    (lambda a: ff.softmax(a.x, axis=(0, 1)), TypeError, "axis: expected an integer, got tuple"),
    (lambda a: ff.softmax(1.0), AxisError, "axis -1 is out of bounds for array of dimension 0"),
    (lambda a: ff.log_softmax(a.x, axis=np.array([0, 1])), TypeError,
     "axis: expected an integer, got ndarray"),
    (lambda a: ff.softmax_backward(a.x, a.y, axis=5), AxisError,
     "axis 5 is out of bounds for array of dimension 2"),
    (lambda a: ff.logsumexp(1.0), AxisError, "axis -1 is out of bounds for array of dimension 0"),
    (lambda a: ff.logsumexp(a.x, axis=2), AxisError, "axis 2 is out of bounds for array of dimension 2"),
    (lambda a: ff.cross_entropy(a.x, a.t, axis=2), AxisError,
     "axis 2 is out of bounds for array of dimension 2"),
    (lambda a: ff.softmax_cross_entropy(a.x, a.t, axis="classes"), TypeError,
     "axis: expected an integer, got str"),
    (lambda a: ff.softmax_cross_entropy(1.0, 0), AxisError,
     "axis -1 is out of bounds for array of dimension 0"),
    # Targets.
    (lambda a: ff.softmax_cross_entropy(a.x, [0, 4, 5]), IndexError,
     "targets: class index 4 at position 1 is out of range for 4 classes"),
    (lambda a: ff.softmax_cross_entropy(a.x, [0, 1, -1]), IndexError,
     "targets: class index -1 at position 2 is out of range for 4 classes; softmax_cross_entropy "
     "leaves such rows out with ignore_index=-1"),
    (lambda a: ff.cross_entropy(a.x, [0, -100, 1]), IndexError,
     "t: class index -100 at position 1 is out of range for 4 classes; softmax_cross_entropy "
     "leaves such rows out with ignore_index=-100"),
    (lambda a: ff.softmax_cross_entropy(a.x, [0, -1, -100], ignore_index=-100), IndexError,
     "targets: class index -1 at position 1 is out of range for 4 classes"),
    (lambda a: ff.softmax_cross_entropy(a.x, [1, 4, 3]), IndexError,
     "targets: class index 4 at position 1 is out of range for 4 classes; the first class is 0"),
    (lambda a: ff.softmax_cross_entropy(a.x, np.array([0, 2**63, 1], np.uint64)), IndexError,
     "targets: class index 9223372036854775808 at position 1 is out of range for 4 classes"),
    (lambda a: ff.cross_entropy_backward(a.x, np.array([0, 5, 2**64 - 1], ">u8")), IndexError,
     "t: class index 5 at position 1 is out of range for 4 classes"),
    (lambda a: ff.softmax_cross_entropy(a.x, np.array([0, 2**64 - 1, 2**63], "u8"), ignore_index=2**63),
     IndexError,
     "targets: class index 18446744073709551615 at position 1 is out of range for 4 classes"),
    (lambda a: ff.softmax_cross_entropy(a.x, [0, 2**62, 1]), IndexError,
     "targets: class index 4611686018427387904 at position 1 is out of range for 4 classes"),
    (lambda a: ff.softmax_cross_entropy(a.cube, np.full((2, 3), 9)), IndexError,
     "targets: class index 9 at position (0, 0) is out of range for 4 classes"),
    (lambda a: ff.softmax_cross_entropy(a.x[:, :0], a.t), IndexError,
     "targets: class index 0 at position 0 is out of range for 0 classes"),
    (lambda a: ff.softmax_cross_entropy(a.x[0], 4), IndexError,
     "targets: class index 4 is out of range for 4 classes; the first class is 0"),
    (lambda a: ff.softmax_cross_entropy(a.x, a.t, axis=0), ValueError,
     "targets: expected class indices of shape (4,) or probabilities of shape (3, 4) for logits "
     "of shape (3, 4) along axis 0, got (3,)"),
    (lambda a: ff.softmax_cross_entropy(a.x, [0.0, 1.0, 2.0]), TypeError,
     "targets: expected integers as class indices, got dtype float64"),
    (lambda a: ff.softmax_cross_entropy(a.x, [True, False, True]), TypeError,
     "targets: expected integers as class indices, got dtype bool"),
    (lambda a: ff.softmax_cross_entropy(a.x, ["a", "b", "c"]), TypeError,
     "targets: expected integers as class indices, got dtype <U1"),
    (lambda a: ff.softmax_cross_entropy(a.x, [0, None, 1]), TypeError,
     "targets: expected integers as class indices, got dtype object (NoneType, int)"),
    (lambda a: ff.softmax_cross_entropy(a.x, [0, 1]), ValueError,
     "targets: expected class indices of shape (3,) or probabilities of shape (3, 4) for logits "
     "of shape (3, 4) along axis 1, got (2,)"),
    (lambda a: ff.softmax_cross_entropy(a.x, [[0], [1], [2]]), ValueError,
     "targets: expected class indices of shape (3,) or probabilities of shape (3, 4) for logits "
     "of shape (3, 4) along axis 1, got (3, 1)"),
    (lambda a: ff.softmax_cross_entropy(a.x, 0), ValueError,
     "targets: expected class indices of shape (3,) or probabilities of shape (3, 4) for logits "
     "of shape (3, 4) along axis 1, got ()"),
    (lambda a: ff.softmax_cross_entropy(a.x, a.x.T), ValueError,
     "targets: expected class indices of shape (3,) or probabilities of shape (3, 4) for logits "
     "of shape (3, 4) along axis 1, got (4, 3)"),
    (lambda a: ff.softmax_cross_entropy(a.x, a.x * 1j), TypeError, f"targets: {REAL} complex64"),
    (lambda a: ff.softmax_cross_entropy(a.x, [[0], [0, 1]]), ValueError,
     "targets: expected rows of one length, got a ragged list: row 0 has length 1, row 1 has "
     "length 2"),
    (lambda a: ff.softmax_cross_entropy(a.x, np.ma.masked_array([0, 1, 2])), TypeError,
     "targets: expected a plain array, got MaskedArray"),
    (lambda a: ff.softmax_cross_entropy_with_grad(a.x, [0, 1, 9], out=a.out), IndexError,
     "targets: class index 9 at position 2 is out of range for 4 classes"),
    (lambda a: ff.softmax_cross_entropy_backward(a.p, [0, 1, 9], out=a.out), IndexError,
     "targets: class index 9 at position 2 is out of range for 4 classes"),
    (lambda a: ff.cross_entropy_with_grad(a.p, [0, 1, 9], out=a.out), IndexError,
     "t: class index 9 at position 2 is out of range for 4 classes"),
    (lambda a: ff.cross_entropy_backward(a.p, [9, 1, 9], out=a.p), IndexError,
     "t: class index 9 at position 0 is out of range for 4 classes"),
    # Options of the losses.
    (lambda a: ff.softmax_cross_entropy(a.x, a.t, weight=[1, 1]), ValueError,
     "weight: expected one number a class, shape (4,), got (2,)"),
    (lambda a: ff.softmax_cross_entropy(a.x, a.t, weight=[1, 1, 1]), ValueError,
     "weight: expected one number a class, shape (4,), got (3,); rows are weighted by sample_weight"),
    (lambda a: ff.softmax_cross_entropy(a.x, a.t, weight=1.0), ValueError,
     "weight: expected one number a class, shape (4,), got ()"),
    (lambda a: ff.softmax_cross_entropy(a.x, a.t, weight="heavy"), TypeError, f"weight: {REAL} <U5"),
    (lambda a: ff.softmax_cross_entropy(a.x, a.t, weight=[1, 1, 1, -1]), ValueError,
     "weight: expected finite numbers of at least 0 in float32, got others"),
    (lambda a: ff.softmax_cross_entropy(a.x, a.t, weight=[1, 1, 1, np.nan]), ValueError,
     "weight: expected finite numbers of at least 0 in float32, got others"),
    (lambda a: ff.softmax_cross_entropy(a.x, a.t, weight=[1, 1, 1, np.inf]), ValueError,
     "weight: expected finite numbers of at least 0 in float32, got others"),
    (lambda a: ff.softmax_cross_entropy(a.x, a.t, weight=[1, 1, 1, 1e39]), ValueError,
     "weight: expected finite numbers of at least 0 in float32, got others"),
    (lambda a: ff.softmax_cross_entropy(a.x, a.p, weight=[1, 1, 1, 1e39]), ValueError,
     "weight: expected finite numbers of at least 0 in float32, got others"),
    (lambda a: ff.softmax_cross_entropy(a.x, a.t, weight=[[1], [1, 1]]), ValueError,
     "weight: expected rows of one length, got a ragged list: row 0 has length 1, row 1 has "
     "length 2"),
    (lambda a: ff.softmax_cross_entropy(a.x, a.p, ignore_index=1), ValueError,
     "ignore_index: expected None where targets are probabilities, got 1"),
    (lambda a: ff.softmax_cross_entropy(a.x, a.t, ignore_index=1.5), TypeError,
     "ignore_index: expected an integer or None, got float"),
    (lambda a: ff.softmax_cross_entropy(a.x, a.t, ignore_index="none"), TypeError,
     "ignore_index: expected an integer or None, got str"),
    (lambda a: ff.softmax_cross_entropy(a.x, a.t, ignore_index=[1, 2]), TypeError,
     "ignore_index: expected an integer or None, got list"),
    (lambda a: ff.softmax_cross_entropy(a.x, a.t, label_smoothing=2), ValueError,
     "label_smoothing: expected 0 to 1, got 2.0"),
    (lambda a: ff.softmax_cross_entropy(a.x, a.t, label_smoothing=-0.1), ValueError,
     "label_smoothing: expected 0 to 1, got -0.1"),
    (lambda a: ff.softmax_cross_entropy(a.x, a.t, label_smoothing=np.nan), ValueError,
     "label_smoothing: expected 0 to 1, got nan"),
    (lambda a: ff.softmax_cross_entropy(a.x, a.t, label_smoothing=[0]), TypeError,
     "label_smoothing: expected a number, got an array of shape (1,)"),
    (lambda a: ff.softmax_cross_entropy(a.x, a.t, label_smoothing="some"), TypeError,
     f"label_smoothing: {REAL} <U4"),
    (lambda a: ff.softmax_cross_entropy(a.x, a.t, label_smoothing=None), TypeError,
     f"label_smoothing: {REAL} object (NoneType)"),
    (lambda a: ff.softmax_cross_entropy(a.x, a.t, reduction="avg"), ValueError,
     "reduction: expected \"mean\", \"sum\" or \"none\", got 'avg'"),
    (lambda a: ff.softmax_cross_entropy(a.x, a.t, reduction=None), ValueError,
     "reduction: expected \"mean\", \"sum\" or \"none\", got None"),
    (lambda a: ff.softmax_cross_entropy(a.x, a.t, reduction=b"mean"), ValueError,
     "reduction: expected \"mean\", \"sum\" or \"none\", got b'mean'"),
    (lambda a: ff.cross_entropy(a.p, a.t, reduction=["mean"]), ValueError,
     "reduction: expected \"mean\", \"sum\" or \"none\", got ['mean']"),
    (lambda a: ff.cross_entropy(a.p, a.t, eps=-1), ValueError, "eps: expected 0 to 1, got -1.0"),
    (lambda a: ff.cross_entropy(a.p, a.t, eps=2), ValueError, "eps: expected 0 to 1, got 2.0"),
    (lambda a: ff.cross_entropy(a.p, a.t, eps=np.nan), ValueError, "eps: expected 0 to 1, got nan"),
    (lambda a: ff.cross_entropy(a.p, a.t, eps="x"), TypeError, f"eps: {REAL} <U1"),
    (lambda a: ff.cross_entropy(a.p, a.t, eps=[1e-8]), TypeError,
     "eps: expected a number, got an array of shape (1,)"),
    (lambda a: ff.softmax_cross_entropy(a.x, a.t, out=a.x[0]), ValueError,
     "out: expected shape (), got (4,)"),
    (lambda a: ff.softmax_cross_entropy(a.x, a.t, out=np.empty(())), TypeError,
     "out: expected dtype float32, got float64"),
    (lambda a: ff.softmax_cross_entropy(a.x, a.t, reduction="none", out=a.x[:, 0]), ValueError,
     "out: expected memory apart from logits, got one that overlaps it"),
    (lambda a: ff.softmax_cross_entropy(a.x, a.p, reduction="none", out=a.p[:, 0]), ValueError,
     "out: expected memory apart from targets, got one that overlaps it"),
    (lambda a: ff.softmax_cross_entropy(a.x, a.t, weight=a.row, out=a.row[:1].reshape(())), ValueError,
     "out: expected memory apart from weight, got one that overlaps it"),
    (lambda a: ff.softmax_cross_entropy_with_grad(a.x, a.t, out=a.wide), TypeError,
     "out: expected dtype float32, got float64"),
    (lambda a: ff.softmax_cross_entropy_with_grad(a.x, a.t, out=a.x[::-1]), ValueError,
     "out: expected memory apart from logits, or exactly the same array, got one that overlaps it"),
    (lambda a: ff.softmax_cross_entropy_with_grad(a.x, a.p, out=a.p[:, ::-1]), ValueError,
     "out: expected memory apart from targets, or exactly the same array, got one that overlaps "
     "it"),
    (lambda a: ff.softmax_cross_entropy_with_grad(a.x, a.t, weight=a.out[0], out=a.out), ValueError,
     "out: expected memory apart from weight, or exactly the same array, got one that overlaps it"),
    (lambda a: ff.softmax_cross_entropy_with_grad(a.x, a.t, out=(a.out,)), TypeError,
     "out: expected a NumPy array or None, got tuple"),
    (lambda a: ff.softmax_cross_entropy_backward(a.p, a.t, [1, 1, 1]), ValueError,
     "dloss: expected a number, got an array of shape (3,)"),
    (lambda a: ff.softmax_cross_entropy_backward(a.p, a.t, [1, 1], reduction="none"), ValueError,
     "dloss: expected a number or an array of shape (3,), got an array of shape (2,)"),
    (lambda a: ff.softmax_cross_entropy_backward(a.p, a.t, "one"), TypeError, f"dloss: {REAL} <U3"),
    (lambda a: ff.softmax_cross_entropy_backward(a.p, a.t, 1j), TypeError, f"dloss: {REAL} complex128"),
    (lambda a: ff.softmax_cross_entropy_backward(a.p, a.t, None), TypeError,
     f"dloss: {REAL} object (NoneType)"),
    (lambda a: ff.cross_entropy_backward(a.p, a.t, a.x, reduction="none"), ValueError,
     "dloss: expected a number or an array of shape (3,), got an array of shape (3, 4)"),
    (lambda a: ff.softmax_cross_entropy(a.x, a.t, label_smoothing=10**400), ValueError,
     "label_smoothing: expected a number in float64's range, got an integer of 1329 bits"),
    (lambda a: ff.cross_entropy(a.p, [0.0, 1.0, 2.0]), TypeError,
     "t: expected integers as class indices, got dtype float64"),
    (lambda a: ff.cross_entropy(a.p, [0, 1]), ValueError,
     "t: expected class indices of shape (3,) or probabilities of shape (3, 4) for p of shape (3, "
     "4) along axis 1, got (2,)"),
    (lambda a: ff.cross_entropy(a.p, "t"), ValueError,
     "t: expected class indices of shape (3,) or probabilities of shape (3, 4) for p of shape (3, "
     "4) along axis 1, got ()"),
    (lambda a: ff.cross_entropy(a.p, a.p * 1j), TypeError, f"t: {REAL} complex64"),
    # Squared errors.
    (lambda a: ff.sum_squared_error(a.x, a.x[:, 0]), ValueError,
     "t: expected the shape of y, (3, 4), got (3,)"),
    (lambda a: ff.sum_squared_error(a.x, a.x.T), ValueError,
     "t: expected the shape of y, (3, 4), got (4, 3)"),
    (lambda a: ff.sum_squared_error(1.0, 1.0), ValueError,
     "y: expected at least one dimension, got none"),
    (lambda a: ff.sum_squared_error(a.x, "t"), TypeError, f"t: {REAL} <U1"),
    (lambda a: ff.sum_squared_error(a.x, a.y, reduction="avg"), ValueError,
     "reduction: expected \"mean\", \"sum\" or \"none\", got 'avg'"),
    (lambda a: ff.sum_squared_error(a.x, a.y, out=a.wide[0, 0:1].reshape(())), TypeError,
     "out: expected dtype float32, got float64"),
    (lambda a: ff.sum_squared_error(a.x, a.y, reduction="none", out=a.y[:, 0]), ValueError,
     "out: expected memory apart from t, got one that overlaps it"),
    (lambda a: ff.sum_squared_error_with_grad(a.x, a.y, out=a.x[::-1]), ValueError,
     "out: expected memory apart from y, or exactly the same array, got one that overlaps it"),
    (lambda a: ff.sum_squared_error_backward(a.x, a.y, [1.0, 2.0], reduction="none"), ValueError,
     "dloss: expected a number or an array of shape (3,), got an array of shape (2,)"),
    (lambda a: ff.sum_squared_error_backward(a.x, a.y, [1.0, 2.0, 3.0]), ValueError,
     "dloss: expected a number, got an array of shape (3,)"),
    # Updates.
    (lambda a: ff.sgd_update([1.0], [1.0], 0.1), TypeError, "param: expected a NumPy array, got list"),
    (lambda a: ff.sgd_update(1.0, 1.0, 0.1), TypeError, "param: expected a NumPy array, got float"),
    (lambda a: ff.sgd_update(a.half, a.x, 0.1), TypeError,
     "param: expected dtype float32 or float64, got float16"),
    (lambda a: ff.sgd_update(a.whole, a.x, 0.1), TypeError,
     "param: expected dtype float32 or float64, got int32"),
    (lambda a: ff.sgd_update(a.x.astype(">f4"), a.x, 0.1), TypeError,
     "param: expected dtype float32 or float64, got >f4"),
    (lambda a: ff.sgd_update(np.ma.masked_array(a.x), a.x, 0.1), TypeError,
     "param: expected a NumPy array, got MaskedArray"),
    (lambda a: ff.sgd_update(a.unaligned, a.x, 0.1), ValueError,
     "param: expected an aligned array, got an unaligned one"),
    (lambda a: ff.sgd_update(a.read_only, a.x, 0.1), ValueError,
     "param: expected a writeable array, got a read-only one"),
    (lambda a: ff.sgd_update(a.folded, a.x, 0.1), ValueError,
     "param: expected distinct elements, got an array that overlaps itself"),
    (lambda a: ff.sgd_update(a.param, a.x[0], 0.1), ValueError,
     "grad: expected the shape of param, (3, 4), got (4,)"),
    (lambda a: ff.sgd_update(a.param, "grad", 0.1), TypeError, f"grad: {REAL} <U4"),
    (lambda a: ff.sgd_update(a.param, a.param, 0.1), ValueError,
     "param: expected memory apart from grad, got one that overlaps it"),
    (lambda a: ff.sgd_update(a.shared[:3], a.shared[1:4], 0.1), ValueError,
     "param: expected memory apart from grad, got one that overlaps it"),
    (lambda a: ff.sgd_update(a.param, a.x, "fast"), TypeError, f"lr: {REAL} <U4"),
    (lambda a: ff.sgd_update(a.param, a.x, None), TypeError, f"lr: {REAL} object (NoneType)"),
    (lambda a: ff.sgd_update(a.param, a.x, [0.1]), TypeError,
     "lr: expected a number, got an array of shape (1,)"),
    (lambda a: ff.sgd_update(a.param, a.x, 0.1, weight_decay="some"), TypeError,
     f"weight_decay: {REAL} <U4"),
    (lambda a: ff.momentum_update(a.param, a.x, a.row, 0.1, 0.9), ValueError,
     "velocity: expected shape (3, 4), got (4,)"),
    (lambda a: ff.momentum_update(a.param, a.x, a.wide, 0.1, 0.9), TypeError,
     "velocity: expected dtype float32, got float64"),
    (lambda a: ff.momentum_update(a.param, a.x, a.param, 0.1, 0.9), ValueError,
     "param: expected memory apart from velocity, got one that overlaps it"),
    (lambda a: ff.momentum_update(a.param, a.x, a.x, 0.1, 0.9), ValueError,
     "velocity: expected memory apart from grad, got one that overlaps it"),
    (lambda a: ff.momentum_update(a.param, a.x, None, 0.1, 0.9), TypeError,
     "velocity: expected a NumPy array, got NoneType"),
    (lambda a: ff.momentum_update(a.param, a.x, a.read_only, 0.1, 0.9), ValueError,
     "velocity: expected a writeable array, got a read-only one"),
    (lambda a: ff.momentum_update(a.param, a.x, a.m, 0.1, "much"), TypeError, f"momentum: {REAL} <U4"),
    (lambda a: ff.adam_update(a.param, a.x, a.m, a.v, 0), ValueError,
     "step: expected at least 1, got 0"),
    (lambda a: ff.adam_update(a.param, a.x, a.m, a.v, -1), ValueError,
     "step: expected at least 1, got -1"),
    (lambda a: ff.adam_update(a.param, a.x, a.m, a.v, 1.0), TypeError,
     "step: expected an integer, got float"),
    (lambda a: ff.adam_update(a.param, a.x, a.m, a.v, "first"), TypeError,
     "step: expected an integer, got str"),
    (lambda a: ff.adam_update(a.param, a.x, a.m, a.m, 1), ValueError,
     "m: expected memory apart from v, got one that overlaps it"),
    (lambda a: ff.adam_update(a.param, a.x, a.m, a.v.T, 1), ValueError,
     "v: expected shape (3, 4), got (4, 3)"),
    (lambda a: ff.adam_update(a.param, a.x, a.m, a.wide, 1), TypeError,
     "v: expected dtype float32, got float64"),
    (lambda a: ff.adam_update(a.param, a.x, a.m, a.v, 1, beta1=1), ValueError,
     "beta1: expected at least 0 and below 1, got 1"),
    (lambda a: ff.adam_update(a.param, a.x, a.m, a.v, 1, beta2=-0.1), ValueError,
     "beta2: expected at least 0 and below 1, got -0.1"),
    (lambda a: ff.adam_update(a.param, a.x, a.m, a.v, 1, beta2=np.nan), ValueError,
     "beta2: expected at least 0 and below 1, got nan"),
    (lambda a: ff.adam_update(a.param, a.x, a.m, a.v, 1, lr="fast"), TypeError, f"lr: {REAL} <U4"),
    (lambda a: ff.adam_update(a.param, a.x, a.m, a.v, 1, eps=[1e-8]), TypeError,
     "eps: expected a number, got an array of shape (1,)"),
    (lambda a: ff.adam_update(a.param, a.x, a.m, a.v, 1, weight_decay=1j), TypeError,
     f"weight_decay: {REAL} complex128"),
    (lambda a: ff.adam_update(a.param, a.x, a.m, a.v, 1, lr=10**400), ValueError,
     "lr: expected a number in float64's range, got an integer of 1329 bits"),
    (lambda a: ff.sgd_update(a.param, a.x, -(10**400)), ValueError,
     "lr: expected a number in float64's range, got an integer of 1329 bits"),
    # The loss of a wide layer.
    (lambda a: ff.linear_cross_entropy(a.x[0], a.matrix, a.t), ValueError,
     "x: expected shape (N, D), got (4,)"),
    (lambda a: ff.linear_cross_entropy(a.x, a.matrix[0], a.t), ValueError,
     "w: expected shape (D, C), got (5,)"),
    (lambda a: ff.linear_cross_entropy(a.x, a.matrix.T, a.t), ValueError,
     "w: expected shape (4, C) to fit x, got (5, 4); w.T has, and is not copied"),
    (lambda a: ff.linear_cross_entropy(a.x, a.square[:3], a.t), ValueError,
     "w: expected shape (4, C) to fit x, got (3, 4); w.T has, and is not copied"),
    (lambda a: ff.linear_cross_entropy(a.x, a.square.astype(float), a.t), TypeError,
     "w: expected the dtype of x, float32, got float64"),
    (lambda a: ff.linear_cross_entropy(a.x[:, :0], a.matrix[:0], a.t), ValueError,
     "x: expected at least one column, got shape (3, 0)"),
    (lambda a: ff.linear_cross_entropy(a.x, a.matrix[:, :0], a.t), ValueError,
     "w: expected at least one column, got shape (4, 0)"),
    (lambda a: ff.linear_cross_entropy("x", a.matrix, a.t), TypeError, f"x: {REAL} <U1"),
    (lambda a: ff.linear_cross_entropy(a.x, a.matrix, a.t, a.row), ValueError,
     "b: expected shape (5,) to fit w, got (4,)"),
    (lambda a: ff.linear_cross_entropy(a.x, a.matrix, a.t, np.ones(5)), TypeError,
     "b: expected the dtype of x, float32, got float64"),
    (lambda a: ff.linear_cross_entropy(a.x, a.matrix, [0, 5, 1]), IndexError,
     "targets: class index 5 at position 1 is out of range for 5 classes"),
    (lambda a: ff.linear_cross_entropy(a.x, a.matrix, [0, 1]), ValueError,
     "targets: expected class indices of shape (3,) or probabilities of shape (3, 5) for logits "
     "of shape (3, 5) along axis 1, got (2,)"),
    (lambda a: ff.linear_cross_entropy(a.x, a.matrix, a.t, chunk_bytes=0), ValueError,
     "chunk_bytes: expected at least 1, got 0"),
    (lambda a: ff.linear_cross_entropy(a.x, a.matrix, a.t, chunk_bytes=1e6), TypeError,
     "chunk_bytes: expected an integer or None, got float"),
    (lambda a: ff.linear_cross_entropy(a.x, a.matrix, a.t, weight=[1]), ValueError,
     "weight: expected one number a class, shape (5,), got (1,)"),
    (lambda a: ff.linear_cross_entropy(TALL, WIDE, a.t), ValueError,
     "w: expected fewer classes for 1099511627776 rows, got 1099511627776, whose logits cannot be "
     "counted"),
    (lambda a: ff.linear_cross_entropy_with_grad(a.x, a.matrix, a.t, out=a.out), TypeError,
     "out: expected arrays (dx, dw, db) or None, got ndarray"),
    (lambda a: ff.linear_cross_entropy_with_grad(a.x, a.matrix, a.t, out=(a.out, None)), TypeError,
     "out: expected arrays (dx, dw, db) or None, got 2 of them"),
    (lambda a: ff.linear_cross_entropy_with_grad(a.x, a.matrix, a.t, out=(a.wide, None, None)),
     TypeError,
     "out (dx): expected dtype float32, got float64"),
    (lambda a: ff.linear_cross_entropy_with_grad(a.x, a.matrix, a.t, out=(a.x, None, None)), ValueError,
     "out (dx): expected memory apart from x, got one that overlaps it"),
    (lambda a: ff.linear_cross_entropy_with_grad(a.x, a.matrix, a.t, out=(None, a.matrix, None)),
     ValueError,
     "out (dw): expected memory apart from w, got one that overlaps it"),
    (lambda a: ff.linear_cross_entropy_with_grad(a.x, a.matrix, a.t, out=(None, None, a.row)), TypeError,
     "out: expected None as db without b, got ndarray"),
    (lambda a: ff.linear_cross_entropy_with_grad(a.x, a.matrix, a.t, a.five, out=(None, None, a.five)),
     ValueError,
     "out (db): expected memory apart from b, got one that overlaps it"),
    (lambda a: ff.linear_cross_entropy_with_grad(a.x, a.matrix, [0, 1, 9], out=(a.out, None, None)),
     IndexError,
     "targets: class index 9 at position 2 is out of range for 5 classes"),
    (lambda a: ff.merge_logsumexp(a.x, a.x, a.x[0], a.x), ValueError,
     "m2: expected the shape of m1, (3, 4), got (4,)"),
    (lambda a: ff.merge_logsumexp(a.x, "s", a.x, a.x), TypeError, f"s1: {REAL} <U1"),
    # Layers.
    (lambda a: layers.Affine([[1.0]], np.ones(1)), TypeError,
     "W: expected an array of float32 or float64, got list"),
    (lambda a: layers.Affine(a.whole, a.row), TypeError,
     "W: expected an array of float32 or float64, got int32"),
    (lambda a: layers.Affine(a.matrix, a.five.astype(float)), TypeError,
     "b: expected the dtype of W, float32, got float64"),
    (lambda a: layers.Affine(a.five, a.five), ValueError,
     "W: expected shape (inputs, outputs), got (5,)"),
    (lambda a: layers.Affine(a.matrix, a.row), ValueError, "b: expected shape (5,) to fit W, got (4,)"),
    (lambda a: a.affine.forward(a.x[0]), ValueError,
     "x: expected shape (N, 4), or (N, ...) with 4 numbers a row, got (4,)"),
    (lambda a: a.affine.forward(a.x[:, :3]), ValueError,
     "x: expected shape (N, 4), or (N, ...) with 4 numbers a row, got (3, 3)"),
    (lambda a: a.affine.forward("x"), TypeError, f"x: {REAL} <U1"),
    (lambda a: a.affine.backward(a.x), ValueError, "dout: expected shape (3, 5), got (3, 4)"),
    (lambda a: a.affine.backward(["a"]), TypeError, f"dout: {REAL} <U1"),
    (lambda a: layers.Affine(a.matrix, a.five).backward(), RuntimeError,
     "Affine.backward: expected a call of forward before it, got none"),
    (lambda a: layers.Relu().backward(), RuntimeError,
     "Relu.backward: expected a call of forward before it, got none"),
    (lambda a: layers.Sigmoid().forward("x"), TypeError, f"x: {REAL} <U1"),
    (lambda a: a.relu.backward(a.row), ValueError, "dout: expected shape (3, 4), got (4,)"),
    (lambda a: a.relu.backward(1j), TypeError, f"dout: {REAL} complex128"),
    (lambda a: layers.Softmax(axis=2).forward(a.x), AxisError,
     "axis 2 is out of bounds for array of dimension 2"),
    (lambda a: layers.Softmax().backward(), RuntimeError,
     "Softmax.backward: expected a call of forward before it, got none"),
    (lambda a: layers.SoftmaxWithLoss().backward(), RuntimeError,
     "SoftmaxWithLoss.backward: expected a call of forward before it, got none"),
    (lambda a: layers.SoftmaxWithLoss().forward(a.x, [0, 1, 4]), IndexError,
     "targets: class index 4 at position 2 is out of range for 4 classes"),
    (lambda a: layers.SoftmaxWithLoss().forward(a.x, [0.0, 1.0, 2.0]), TypeError,
     "targets: expected integers as class indices, got dtype float64"),
    (lambda a: layers.SoftmaxWithLoss().forward(a.x, [0, 1]), ValueError,
     "targets: expected class indices of shape (3,) or probabilities of shape (3, 4) for logits "
     "of shape (3, 4) along axis 1, got (2,)"),
    (lambda a: a.loss.backward("one"), TypeError, f"dloss: {REAL} <U3"),
    (lambda a: a.loss.backward([1.0, 2.0]), ValueError,
     "dloss: expected a number, got an array of shape (2,)"),
    (lambda a: layers.IdentityWithLoss().forward(a.x, a.x[0]), ValueError,
     "t: expected the shape of y, (3, 4), got (4,)"),
    (lambda a: layers.IdentityWithLoss().forward(a.x, "t"), TypeError, f"t: {REAL} <U1"),
    (lambda a: layers.LinearWithLoss(a.matrix, a.row), ValueError,
     "b: expected shape (5,) to fit W, got (4,)"),
    (lambda a: layers.LinearWithLoss(a.matrix, a.five).forward(a.x[0], a.t), ValueError,
     "x: expected shape (N, 4), or (N, ...) with 4 numbers a row, got (4,)"),
    (lambda a: layers.LinearWithLoss(a.matrix, a.five).backward(), RuntimeError,
     "LinearWithLoss.backward: expected a call of forward before it, got none"),
    # A net.
    (lambda a: FeedForward(4, 3), TypeError,
     "sizes: expected one list of integers, such as FeedForward([4, 16, 3]), got 4, 3, ..."),
    (lambda a: FeedForward([4]), ValueError, "sizes: expected two or more numbers from 1 up, got (4,)"),
    (lambda a: FeedForward([4, 0, 3]), ValueError,
     "sizes: expected two or more numbers from 1 up, got (4, 0, 3)"),
    (lambda a: FeedForward([4, 2.5, 3]), TypeError,
     "sizes: expected one list of integers, such as FeedForward([4, 16, 3]), got [4, 2.5, 3]"),
    (lambda a: FeedForward("net"), TypeError,
     "sizes: expected one list of integers, such as FeedForward([4, 16, 3]), got 'net'"),
    (lambda a: FeedForward([4, 3], activation="step"), ValueError,
     "activation: expected one of ['relu', 'sigmoid', 'tanh', 'identity', 'leaky_relu', 'elu', "
     "'hard_sigmoid', 'softplus', 'silu', 'gelu'], got 'step'"),
    (lambda a: FeedForward([4, 3], loss="hinge"), ValueError,
     "loss: expected one of ['softmax_cross_entropy', 'sigmoid_cross_entropy', 'sum_squared_error'], "
     "got 'hinge'"),
    (lambda a: FeedForward([4, 3], dtype=int), ValueError,
     "dtype: expected float32 or float64, got int64"),
    (lambda a: FeedForward([4, 3], activation=[]), ValueError,
     "activation: expected one of ['relu', 'sigmoid', 'tanh', 'identity', 'leaky_relu', 'elu', "
     "'hard_sigmoid', 'softplus', 'silu', 'gelu'], got []"),
    (lambda a: FeedForward([4, 3], loss={}), ValueError,
     "loss: expected one of ['softmax_cross_entropy', 'sigmoid_cross_entropy', 'sum_squared_error'], "
     "got {}"),
    (lambda a: FeedForward([4, 3], dtype="float99"), ValueError,
     "dtype: expected a dtype, got 'float99'"),
    (lambda a: FeedForward([4, 3], dtype="(1,f4"), ValueError, "dtype: expected a dtype, got '(1,f4'"),
    (lambda a: a.net.predict(a.x[0]), ValueError,
     "x: expected shape (N, 4), or (N, ...) with 4 numbers a row, got (4,)"),
    (lambda a: a.net.predict(a.x.T), ValueError,
     "x: expected shape (N, 4), or (N, ...) with 4 numbers a row, got (4, 3)"),
    (lambda a: a.net.predict("x"), TypeError, f"x: {REAL} <U1"),
    (lambda a: a.net.predict([[1, 2], [3]]), ValueError,
     "x: expected rows of one length, got a ragged list: row 0 has length 2, row 1 has length 1"),
    (lambda a: a.net.loss(a.x, [0, 1]), ValueError,
     "targets: expected class indices of shape (3,) or probabilities of shape (3, 3) for logits "
     "of shape (3, 3) along axis 1, got (2,)"),
    (lambda a: a.net.loss(a.x, [0, 1, 3]), IndexError,
     "targets: class index 3 at position 2 is out of range for 3 classes"),
    (lambda a: a.net.loss(a.x, [0.0, 1.0, 2.0]), TypeError,
     "targets: expected integers as class indices, got dtype float64"),
    (lambda a: a.net.gradient(a.x, [0, 1, 3]), IndexError,
     "targets: class index 3 at position 2 is out of range for 3 classes"),
    (lambda a: a.net.gradient(a.x[:, :3], a.t), ValueError,
     "x: expected shape (N, 4), or (N, ...) with 4 numbers a row, got (3, 3)"),
    (lambda a: a.net.train_step(a.x, a.t, "sgd"), TypeError,
     "optimizer: expected SGD(lr=0.1), Adam() or another object with update(params, grads), got "
     "'sgd'"),
    (lambda a: a.net.train_step(a.x, a.t, SGD), TypeError,
     "optimizer: expected SGD(lr=0.1), Adam() or another object with update(params, grads), got "
     "the class SGD: write SGD(...)"),
    (lambda a: a.net.train_step(a.x, a.t, None), TypeError,
     "optimizer: expected SGD(lr=0.1), Adam() or another object with update(params, grads), got "
     "NoneType"),
    (lambda a: a.net.train_step(a.x, [0, 1, 3], SGD(0.1)), IndexError,
     "targets: class index 3 at position 2 is out of range for 3 classes"),
    (lambda a: a.net.train_step(a.x, [0, 1, 3], Adam()), IndexError,
     "targets: class index 3 at position 2 is out of range for 3 classes"),
    (lambda a: a.net.train_step(a.x, a.t[:2], SGD(0.1, momentum=0.9)), ValueError,
     "targets: expected class indices of shape (3,) or probabilities of shape (3, 3) for logits "
     "of shape (3, 3) along axis 1, got (2,)"),
    (lambda a: a.net.train_step("x", a.t, Adam()), TypeError, f"x: {REAL} <U1"),
    # Optimisers.
    (lambda a: SGD("fast"), TypeError, f"lr: {REAL} <U4"),
    (lambda a: SGD(-0.1), ValueError, "lr: expected at least 0, got -0.1"),
    (lambda a: SGD(np.nan), ValueError, "lr: expected at least 0, got nan"),
    (lambda a: SGD(0.1, momentum=1), ValueError, "momentum: expected at least 0 and below 1, got 1"),
    (lambda a: SGD(0.1, weight_decay=-1), ValueError, "weight_decay: expected at least 0, got -1"),
    (lambda a: Adam(betas=0.9), TypeError, "betas: expected a pair of numbers, got 0.9"),
    (lambda a: Adam(betas=(0.9, 1.0)), ValueError, "betas[1]: expected at least 0 and below 1, got 1"),
    (lambda a: Adam(eps=-1e-8), ValueError, "eps: expected at least 0, got -1e-08"),
    (lambda a: SGD(0.1).update(a.param, None), TypeError,
     "grads: expected a dict or a list of arrays, got NoneType"),
    (lambda a: SGD(0.1).update([a.param], []), ValueError, "grads: expected keys [0], got []"),
    (lambda a: SGD(0.1).update({"w": a.param}, {"v": a.x}), ValueError,
     "grads: expected keys ['w'], got ['v']"),
    (lambda a: SGD(0.1).update([a.param], ["grad"]), TypeError, f"grads[0]: {REAL} <U4"),
    (lambda a: SGD(0.1).update([a.param], [a.param]), ValueError,
     "params[0]: expected memory apart from grads[0], got one that overlaps it"),
    (lambda a: SGD(0.1).update([a.read_only], [a.x]), ValueError,
     "params[0]: expected a writeable array, got a read-only one"),
    (lambda a: SGD(0.1).update([a.param, a.m], [a.x, a.row]), ValueError,
     "grads[1]: expected the shape of params[1], (3, 4), got (4,)"),
    (lambda a: SGD(0.1, momentum=0.9).update([a.param, a.half], [a.x, a.x]), TypeError,
     "params[1]: expected dtype float32 or float64, got float16"),
    (lambda a: Adam().update([a.param, a.m], [a.x, a.row]), ValueError,
     "grads[1]: expected the shape of params[1], (3, 4), got (4,)"),
    (lambda a: a.adam.update([a.row], [a.row.copy()]), ValueError,
     "params[0]: expected shape (3, 4) as in earlier updates, got (4,)"),
    (lambda a: a.adam.update([a.wide], [a.x]), TypeError,
     "params[0]: expected dtype float32 as in earlier updates, got float64"),
    # Inputs.
    (lambda a: InputLayer(missing="guess").fit(a.x), ValueError,
     "missing: expected one of ('zero', 'mean', 'median', 'drop'), got 'guess'"),
    (lambda a: InputLayer(scale="log").fit(a.x), ValueError,
     "scale: expected one of ('standard', 'minmax', None), got 'log'"),
    (lambda a: InputLayer(max_missing=2).fit(a.x), ValueError, "max_missing: expected 0 to 1, got 2"),
    (lambda a: InputLayer(max_missing="many").fit(a.x), TypeError, f"max_missing: {REAL} <U4"),
    (lambda a: InputLayer(max_missing=10**400).fit(a.x), ValueError,
     "max_missing: expected a number in float64's range, got an integer of 1329 bits"),
    (lambda a: InputLayer(dtype="float99").fit(a.x), ValueError,
     "dtype: expected a dtype, got 'float99'"),
    (lambda a: InputLayer(dtype=int).fit(a.x), ValueError,
     "dtype: expected float16, bfloat16, float32 or float64, got int64"),
    (lambda a: InputLayer().fit(3.0), ValueError, "x: expected one or two dimensions, got 0"),
    (lambda a: InputLayer().fit(a.x[:0]), ValueError, "x: expected at least one row, got none"),
    (lambda a: InputLayer().fit(a.x[:, :0]), ValueError, "x: expected at least one column, got none"),
    (lambda a: InputLayer().fit(a.cube), ValueError, "x: expected one or two dimensions, got 3"),
    (lambda a: InputLayer().fit({}), ValueError, "x: expected at least one column, got none"),
    (lambda a: InputLayer().fit({"a": [1, 2], "b": [1]}), ValueError,
     "x, column 'b': expected 2 rows like column 'a', got 1"),
    (lambda a: InputLayer().fit({"a": ["x"]}), TypeError,
     "x, column 'a': expected real numbers, got could not convert string to float: 'x'"),
    (lambda a: InputLayer().fit([[np.inf]]), ValueError,
     "x: expected finite numbers or NaN, got inf in row 0, column 0"),
    (lambda a: InputLayer().fit([a.x, a.x[:2]]), ValueError, "x[1]: expected 3 rows like x[0], got 2"),
    (lambda a: InputLayer().fit(a.x * 1j), TypeError,
     "x: expected real numbers, got dtype complex64, complex numbers"),
    (lambda a: InputLayer().transform(a.x), RuntimeError, "InputLayer: expected fit before transform"),
    (lambda a: a.layer.transform(a.x[:, :3]), ValueError, "x: expected 4 columns, got 3"),
    (lambda a: a.layer.transform("x"), TypeError,
     "x: expected real numbers, got could not convert string to float: 'x'"),
    (lambda a: a.layer.transform(a.x, a.t[:2]), ValueError, "y: expected 3 rows like x, got 2"),
    (lambda a: inspect(a.x, a.t[:2]), ValueError, "y: expected shape (3,), got (2,)"),
    (lambda a: inspect(a.x, names=["a"]), ValueError, "names: expected 4 names, got 1"),
    (lambda a: a.layer.transform(a.x, 3), ValueError, "y: expected 3 rows like x, got a number"),
    (lambda a: inspect(a.x, names=3), TypeError, "names: expected a list of names, got int"),
    (lambda a: inspect([[np.inf]]), ValueError,
     "x: expected finite numbers or NaN, got inf in row 0, column 0"),
    # What holds for the process.
    (lambda a: ff.set_backend("fortran"), ValueError,
     "backend: expected \"compiled\" or \"numpy\", got 'fortran'"),
    (lambda a: ff.set_backend(None), ValueError,
     "backend: expected \"compiled\" or \"numpy\", got None"),
    (lambda a: ff.use_backend("fortran").__enter__(), ValueError,
     "backend: expected \"compiled\" or \"numpy\", got 'fortran'"),
    (lambda a: ff.set_num_threads(0), ValueError, "n: expected an integer from 1 to 1024, got 0"),
    (lambda a: ff.set_num_threads(1025), ValueError, "n: expected an integer from 1 to 1024, got 1025"),
    (lambda a: ff.set_num_threads(1.5), TypeError, "n: expected an integer, got float"),
    (lambda a: ff.set_num_threads(True), TypeError, "n: expected an integer, got bool"),
    (lambda a: ff.set_num_threads("two"), TypeError, "n: expected an integer, got str"),
    (lambda a: ff.num_threads(-1).__enter__(), ValueError,
     "n: expected an integer from 1 to 1024, got -1"),
    (lambda a: ff.show_config("json"), ValueError, "mode: expected \"stdout\" or \"dicts\", got 'json'"),
]  # fmt: skip


def refusal(call, arrays):
    with pytest.raises(Exception) as caught:
        call(arrays)
    return type(caught.value), str(caught.value)


@pytest.mark.parametrize("case", range(len(REFUSED)))
def test_refusals(backend, case):
    call, error, message = REFUSED[case]
    arrays = Arrays()
    before, state = arrays.memory(), (ff.get_backend(), ff.get_num_threads())
    assert refusal(call, arrays) == (error, message)
    assert arrays.memory() == before and (ff.get_backend(), ff.get_num_threads()) == state


def test_an_instruction_set_that_there_is_not():
    with pytest.raises((ValueError, ImportError), match=r"isa: expected one of|not available"):
        ff.set_isa("mmx")


# ---- every function there is --------------------------------------------------------------------------

BY_NAME = {operation.name: operation for operation in OPERATIONS}


def plain(name):
    """Arguments of an operation that it takes, by name, and what else it can be given."""
    operation = BY_NAME[name]
    arrays = operation.draw(np.random.default_rng(0), (6, 5), np.float32)
    names = list(signatures.signature(getattr(ff, name)).parameters)
    values = dict(zip(names, [*arrays, *UPDATE_NUMBERS.get(name, ())], strict=False))
    return values, names


def misshapen(array):
    return np.ones((*array.shape, 2), array.dtype)


#: What no array argument may be, of whatever function.
WRONG = {
    "text": lambda _: "text",
    "None": lambda _: None,
    "a dictionary": lambda _: {"a": 1},
    "a function": lambda _: max,
    "complex": lambda array: array * 1j,
    "objects": lambda array: array.astype(object),
    "dates": lambda array: array.astype("M8[s]"),
    "fields": lambda array: np.zeros(array.shape, [("a", "f4")]),
    "masked": lambda array: np.ma.masked_array(array),
    "ragged": lambda _: [[1.0], [1.0, 2.0]],
    "of another shape": misshapen,
    "without elements": lambda array: array[:0],
}
#: And what no output may be.
WRONG_OUT = {
    "a list": lambda like: like.tolist(),
    "text": lambda _: "out",
    "a wider type": lambda like: like.astype(np.float64),
    "integers": lambda like: like.astype(np.int32),
    "of another shape": misshapen,
    "read-only": lambda like: np.broadcast_to(like.ravel()[0], like.shape),
    "folded": lambda like: np.lib.stride_tricks.as_strided(like, like.shape, (0,) * like.ndim),
    "masked": lambda like: np.ma.masked_array(like),
}


def wrong_calls(name):
    """What is wrong, with which argument, and the arguments of the call."""
    values, names = plain(name)
    arrays = {key: value for key, value in values.items() if isinstance(value, np.ndarray)}
    first = next(iter(arrays))
    for (key, array), (what, make) in itertools.product(arrays.items(), WRONG.items()):
        if what in ("of another shape", "without elements") and (key == first or len(arrays) == 1):
            continue  # it is what others are compared with
        yield f"{key}: {what}", key, values | {key: make(array)}
    if "out" in names:
        result = getattr(ff, name)(**values)
        for part in result if isinstance(result, tuple) else (result,):
            like = np.asarray(part)
            if like.shape == arrays[first].shape or not isinstance(result, tuple):
                break
        for what, make in WRONG_OUT.items():
            if like.ndim or what not in ("read-only", "folded"):
                yield f"out: {what}", "out", values | {"out": make(like.copy())}


def outcome(name, values, implementation):
    memory = [value.tobytes() for value in values.values() if type(value) is np.ndarray]
    with ff.use_backend(implementation):
        try:
            getattr(ff, name)(**values)
        except Exception as error:
            written = [value.tobytes() for value in values.values() if type(value) is np.ndarray]
            assert written == memory
            return type(error), str(error)
    return None


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_what_no_function_takes(name):
    for what, key, values in wrong_calls(name):
        refused = outcome(name, values, "numpy")
        assert refused is not None, what
        error, message = refused
        assert error in (TypeError, ValueError, AxisError), (what, refused)
        assert message.startswith(f"{key}: expected") or error is AxisError, (what, refused)
        if ff.get_isa() is not None:
            assert outcome(name, values, "compiled") == refused, what


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_arguments_that_no_function_has(name, backend):
    values, _ = plain(name)
    arrays = list(values.values())
    for arguments, options in (((), {}), (arrays[:1], {}), (arrays, {"axes": 0}), (arrays * 9, {})):
        if len(arguments) == 1 == len(arrays):
            continue
        with pytest.raises(TypeError, match=f"{name}\\(\\)"):
            getattr(ff, name)(*arguments, **options)
