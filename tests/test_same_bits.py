"""The same bits from every compiler, on every instruction set with a fused multiply-add, on any number
of threads: outputs are held against stored hashes.

Where a formula changes on purpose, `python tests/test_same_bits.py` prints the new ones.
"""

import hashlib
import platform

import numpy as np
import pytest

import ffkernels as ff
from ffkernels import backend as control
from ffkernels._operations import OPERATIONS, UPDATE_NUMBERS

#: Short and long rows, a few and many, with a part of a block at their end and without; the last two are
#: enough for several threads.
SHAPES = [
    *((7,), (5, 3), (33, 10), (3, 100), (20, 4100)),
    *((16,), (2, 64), (17, 32), (3, 1024), (2, 2048)),
    *((2, 30, 700), (130, 333)),
]

# fmt: off
HASHES = {
    "relu": ("d1ec82dc5f1b1f4b", "a58e0c590de5b773"),
    "relu_grad": ("07f37db78f56e404", "07e230e40ac29fba"),
    "relu_backward": ("b0b7dec3ef156f35", "17f853647296cbb1"),
    "sigmoid": ("f9ae09365f1f5dd9", "66d50cea8978308b"),
    "sigmoid_grad": ("0a7eb2c90f1118da", "928e1c322a465073"),
    "sigmoid_backward": ("4128c66112de6142", "47ee96db7e7a8684"),
    "tanh": ("6d8f6e29d4f5bc3f", "a09211a7257488b4"),
    "tanh_grad": ("df9b524e2d231b23", "5044eb9e5458653d"),
    "tanh_backward": ("008a632ffe74d5bd", "35b1a1a9c5fd21db"),
    "identity": ("2522235df0ed070b", "23ad79eb9022c251"),
    "identity_grad": ("cf2ab5c661f7b8ae", "62e7de3e2c8ec9c2"),
    "identity_backward": ("2522235df0ed070b", "23ad79eb9022c251"),
    "bias_relu": ("6a90e2a1f9a388ab", "cccf6e117b0bd0d4"),
    "bias_sigmoid": ("6ca40c2452b7a5f3", "ed3fc1f23ed656a4"),
    "bias_tanh": ("a82deb85ed50f659", "78c015be6ba6b33a"),
    "bias_identity": ("aca32f2a92a7abd1", "683dbf834889bcaf"),
    "relu_backward_bias": ("cab339aab6639392", "acdb78ce460e3f73"),
    "sigmoid_backward_bias": ("2e1ada1d99ca0a60", "811e705cd8847ec7"),
    "tanh_backward_bias": ("cd977d0d04967730", "f43747c1073c0b70"),
    "identity_backward_bias": ("6627ce7b579ba31d", "4640ad52c50e6ff3"),
    "leaky_relu": ("914540cbeb0ef35e", "af29371b7c961b2c"),
    "leaky_relu_backward": ("1a330b89b9fd9d40", "5b6082252f4e16ea"),
    "bias_leaky_relu": ("36c4294fdcfc659c", "06c97f1d6d4a0ad7"),
    "leaky_relu_backward_bias": ("4eac6bd990681aa4", "462182771a115329"),
    "elu": ("f9812d32bc84c0b4", "8b0504dcf4c95a91"),
    "elu_backward": ("3617d62792c4e9f0", "a2fef5558075a603"),
    "bias_elu": ("f9c11fd62aff5239", "f45b9afeaf6ac810"),
    "elu_backward_bias": ("194eeaeaafc29fb9", "74f17de53f0de2fa"),
    "hard_sigmoid": ("78da5683cb454654", "93403496a7fdd591"),
    "hard_sigmoid_backward": ("ee0ce9cf1fa990bd", "0863759a0f47013d"),
    "bias_hard_sigmoid": ("7b432cbad9b90224", "46f275c31c8058f2"),
    "hard_sigmoid_backward_bias": ("f9e412537aa837a3", "f0de4e6fd530ac5d"),
    "softplus": ("8c0da79745538026", "9c8fa72c67cd3eea"),
    "softplus_backward": ("745554c5fd7e2588", "fdc022047eacae8a"),
    "bias_softplus": ("bea0dab1b01a806c", "d2d28f373e9384ca"),
    "softplus_backward_bias": ("69559729e0b05dc0", "4181046ae774094f"),
    "silu": ("2645074f0c68a439", "f0b59960442b498d"),
    "silu_backward": ("719c4fc182060065", "6b5becc1dd0ae564"),
    "bias_silu": ("49ea280f31091bd1", "3e23e75dc7a71f14"),
    "silu_backward_bias": ("0f61069407dd5f82", "01810ccdbb7e8972"),
    "gelu": ("25f281ed3d532216", "efd401256160756a"),
    "gelu_backward": ("188312d119021b2d", "7cc19f72c4582b8d"),
    "bias_gelu": ("f494fea9db507543", "37930797247c8aad"),
    "gelu_backward_bias": ("f12242456e3b36a2", "a5a727f673f0898c"),
    "softmax": ("a5ea4a2b6610bd36", "964a949c14529fd2"),
    "softmax_backward": ("725615627a653006", "184a16ad09441238"),
    "log_softmax": ("b44124f62d0ff90e", "985a4868b6c901f3"),
    "log_softmax_backward": ("0dcac4157b75df40", "2763883fc124b7bf"),
    "logsumexp": ("99ddff4c949bed90", "f47e923acd124dd6"),
    "cross_entropy": ("1efeaa695c7f1dbe", "df61b6264bb8ee99"),
    "cross_entropy_with_grad": ("82eaa8c195e60684", "67750c293c0b91f7"),
    "cross_entropy_backward": ("415db0b70354084f", "a041efb480e592c0"),
    "softmax_cross_entropy": ("3daf2f1d3e26677e", "ca22039a3d411596"),
    "softmax_cross_entropy_with_grad": ("e6272391489cf44d", "20d15bb21b6d5cdb"),
    "softmax_cross_entropy_backward": ("e9c8cbc9adece2c9", "78f5f10f54b8ebbe"),
    "sigmoid_cross_entropy": ("3d37ff6d70a0bad4", "6ef70dbb6f26841b"),
    "sigmoid_cross_entropy_with_grad": ("bd7dcdae087d4442", "d4eed54d7c6c7275"),
    "sigmoid_cross_entropy_backward": ("75f0b61ccfc2fe95", "54327dfe587f121e"),
    "sum_squared_error": ("c80019c730e464d2", "602be9d5aec88997"),
    "sum_squared_error_with_grad": ("38c6f7e50342599f", "58abaa6d1577da94"),
    "sum_squared_error_backward": ("1467c36cedf4c108", "514c2b801f030e5f"),
    "sgd_update": ("44b134a0e56e1fb1", "f990b31c0a6f3944"),
    "momentum_update": ("9743ad8bc25fec0f", "f368e079d3abfd1e"),
    "adam_update": ("b6cdc1072ac2b759", "36e77e939387571c"),
}
# fmt: on


def numbers(shape, dtype, seed, low=-8.0, high=8.0):
    """Numbers that need nobody's mathematics: multiples of 2^-24 of a range, in no order."""
    size = int(np.prod(shape))
    state = np.arange(size, dtype=np.uint64) + np.uint64(1 + 1000003 * seed)
    state *= np.uint64(0x9E3779B97F4A7C15)
    state ^= state >> np.uint64(29)
    state *= np.uint64(0xBF58476D1CE4E5B9)
    return (low + (high - low) * ((state >> np.uint64(40)) / 2.0**24)).astype(dtype).reshape(shape)


def arguments(operation, shape, dtype):
    """What the function takes, for every layout in which kernels go another way."""
    count = len(operation.draw(np.random.default_rng(0), (2, 2), np.float64))
    name = operation.name
    takes_probabilities = name.startswith(("cross_entropy", "softmax_cross_entropy_backward"))
    arrays = [numbers(shape, dtype, 1, *((0.01, 1.0) if takes_probabilities else (-8.0, 8.0)))]
    low = -1.0 if operation.name.endswith(("_backward", "_backward_bias")) else 0.0
    arrays += [numbers(shape, dtype, i, low, 1.0) for i in range(2, count + 1)]
    if operation.name == "log_softmax_backward":
        arrays[1] = -4 + 4 * arrays[1]
    if operation.kind == "update":
        return [(*arrays, *UPDATE_NUMBERS[operation.name])]
    if operation.kind == "bias" and "backward" not in operation.name:
        arrays[1] = numbers(shape[-1:], dtype, 2)
    if operation.name.startswith("sigmoid_cross_entropy"):
        return [arrays, [arrays[0], (arrays[1] > 0.5).astype(dtype)]]
    if operation.kind == "bias" and count == 3:
        arrays[1:] = numbers(shape, dtype, 2, -8.0, 8.0), numbers(shape[-1:], dtype, 3)
    if operation.kind == "loss" and "entropy" in operation.name:
        indices = (numbers(shape[:-1], np.float64, 3, 0.0, 1.0) * shape[-1]).astype(np.intp)
        return [(arrays[0], indices), (arrays[0], numbers(shape, dtype, 4, 0.0, 1.0))]
    return [arrays]


def outputs(operation, dtype):
    function = getattr(ff, operation.name)
    for shape in SHAPES:
        for drawn in arguments(operation, shape, dtype):
            if operation.kind == "update":
                # The first step: powers of other steps are those of the C library.
                function(*drawn[:-1], 1) if operation.name == "adam_update" else function(*drawn)
                yield from (a for a in drawn if isinstance(a, np.ndarray))
                continue
            chosen = list(operation.options)
            if operation.name.startswith("sigmoid_cross_entropy"):
                weight = numbers(shape[-1:], dtype, 5, 0.0, 2.0)
                rows = numbers(shape[:1], np.float64, 6, 0.0, 2.0)
                chosen.append({"weight": weight, "pos_weight": 2 - weight, "sample_weight": rows})
            elif operation.kind in ("rows", "loss") and "squared" not in operation.name:
                if drawn[-1].ndim == len(shape):
                    chosen = [{"axis": axis} for axis in range(len(shape))]
                if operation.name.startswith("softmax_cross"):
                    weight = numbers(shape[-1:], dtype, 5, 0.0, 2.0)
                    chosen.append({"label_smoothing": 0.125, "weight": weight})
            for options in chosen:
                results = function(*drawn, **options)
                yield from results if isinstance(results, tuple) else (results,)


def hashed(operation, dtype):
    digest = hashlib.sha256()
    for output in outputs(operation, dtype):
        array = np.ascontiguousarray(output)
        digest.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()[:16]


def instruction_sets():
    """Those with a fused multiply-add."""
    supported = control._compiled.supported() if control._compiled is not None else []
    arm = platform.machine().lower() in ("aarch64", "arm64")
    return [isa for isa in supported if isa != "baseline" or arm]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
@pytest.mark.parametrize("isa", instruction_sets())
def test_outputs_are_the_stored_ones(isa, operation):
    before = ff.get_isa()
    try:
        ff.set_isa(isa)
        for threads in (1, 2, 3):
            with ff.use_backend("compiled"), ff.num_threads(threads):
                found = hashed(operation, np.float32), hashed(operation, np.float64)
                assert found == HASHES[operation.name]
    finally:
        ff.set_isa(before)


if __name__ == "__main__":
    for operation in OPERATIONS:
        found = hashed(operation, np.float32), hashed(operation, np.float64)
        print(f'    "{operation.name}": ("{found[0]}", "{found[1]}"),')
