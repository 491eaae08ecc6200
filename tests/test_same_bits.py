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

#: Short and long rows, a few and many; the last two are enough for several threads.
SHAPES = [(7,), (5, 3), (33, 10), (3, 100), (20, 4100), (2, 30, 700), (130, 333)]

# fmt: off
HASHES = {
"relu": ("6ccf6151efe09dba", "a5301eb63c907594"),
    "relu_grad": ("503656c2c2139dd9", "737d5b28e83c9c3e"),
    "relu_backward": ("aacb90945da7ba7c", "c4e84c8bb722703a"),
    "sigmoid": ("969d7d18540e862d", "2b619494ce3aa032"),
    "sigmoid_grad": ("75b3b47d50d2c393", "c7df9d257da89319"),
    "sigmoid_backward": ("f2fcbd7b4ac7a596", "984bf3d3c2700248"),
    "tanh": ("fb9f20bd8c7181ef", "532c31ee53a0d649"),
    "tanh_grad": ("0495c609f76e0b21", "19cf5b13add3fc62"),
    "tanh_backward": ("cba5516a4055dec8", "a284723d43f08477"),
    "identity": ("dcd8c00aa60e9c94", "16bafec3c2679870"),
    "identity_grad": ("b293047805f1a28c", "6427ba4ce4c6caec"),
    "identity_backward": ("dcd8c00aa60e9c94", "16bafec3c2679870"),
    "bias_relu": ("eae45d602d36796b", "5352f9a8af627c46"),
    "bias_sigmoid": ("2ff0fc25424372bc", "17278e25eaf6eb0e"),
    "bias_tanh": ("c6dc1ad77cfd7aa2", "8a0b0312ee61aa9e"),
    "bias_identity": ("a985da66b9bddd1b", "04d2562332229322"),
    "relu_backward_bias": ("a4c48eb0e6ff34aa", "aa240db897232a26"),
    "sigmoid_backward_bias": ("9beb9a16efdbd7a6", "fde116f4a7d5c7ab"),
    "tanh_backward_bias": ("369931056a4d8adf", "17f18bc32c995c6b"),
    "identity_backward_bias": ("35a449003ddaef82", "7505bc288e2ce1bf"),
    "leaky_relu": ("b7bd7b2c3255ed9f", "e1c7333718ed67ff"),
    "leaky_relu_backward": ("fe36723cba41fd4c", "daab7c3987a66503"),
    "bias_leaky_relu": ("de6200df0ee2ff8b", "925c6d0b37ad40f4"),
    "leaky_relu_backward_bias": ("7b9368900fa35f93", "1a73f413c7230070"),
    "elu": ("aa9e42b496daf92d", "4a073c68f2af4f43"),
    "elu_backward": ("f689c3915fbda7d5", "86bace5c515d70f1"),
    "bias_elu": ("99f20741eb86d8ff", "339a87b072872c8b"),
    "elu_backward_bias": ("40e64df6995c3f6d", "f18e2de612a4e03c"),
    "hard_sigmoid": ("a33ed8313d709d98", "84bcce5f835c9009"),
    "hard_sigmoid_backward": ("051fe78a6e97572a", "1a53211948d59b3a"),
    "bias_hard_sigmoid": ("579ec896855d7eb6", "005de792504ea84e"),
    "hard_sigmoid_backward_bias": ("f6e6f0ff7c3bebf5", "f4da9a58e1612b94"),
    "softplus": ("be386a195d651833", "5bb33a4f4531a28f"),
    "softplus_backward": ("79f721d50378c54c", "6ffa013a83c388bf"),
    "bias_softplus": ("b11b3096e2248a25", "b797f14644e8751a"),
    "softplus_backward_bias": ("ba45cc7a595aeea8", "287705d88852fd59"),
    "silu": ("c02b31d3cf9a952a", "fd9f58519749b212"),
    "silu_backward": ("e9e998949667c72a", "840046a5f67296f1"),
    "bias_silu": ("ed2e023c2c7871fb", "d61b134e9b32aeb4"),
    "silu_backward_bias": ("0269aef77f1281da", "9a1a6b638e67dfe6"),
    "gelu": ("8d320211c1a47543", "6df28d2a1d066fab"),
    "gelu_backward": ("53dc078d8cde5815", "2544abcc962ed695"),
    "bias_gelu": ("9e031250202d46d6", "e66161d69b37c6f8"),
    "gelu_backward_bias": ("2d26bdb649e1639c", "f846be66369454ed"),
    "softmax": ("0998d03beb796c20", "b2d22ca097b05540"),
    "softmax_backward": ("fbff403c63cb4dcf", "c9a63afde0771c74"),
    "log_softmax": ("353c5dbbc37039ab", "31999c18d1abea11"),
    "log_softmax_backward": ("7b0856b17b4e6ff1", "b898c4fd3d42a6b9"),
    "logsumexp": ("18205dec4dcd40c9", "7829e7980b5e051e"),
    "cross_entropy": ("b77e6d9179f13ecd", "a4361d8b7b3202f4"),
    "cross_entropy_with_grad": ("7c136ee61595dfb8", "e70a04e222bba2a2"),
    "cross_entropy_backward": ("67218a79d94a4867", "9e88bd74dbcdfd13"),
    "softmax_cross_entropy": ("4f808ebd7a551b45", "ed5feb027248b22f"),
    "softmax_cross_entropy_with_grad": ("38a57da3de1f2494", "be46909371a4c389"),
    "softmax_cross_entropy_backward": ("5f2ecc3a7c419e31", "048ae907401213ab"),
    "sigmoid_cross_entropy": ("f345e03ae0e4ece2", "b374fb6fc4e89b6a"),
    "sigmoid_cross_entropy_with_grad": ("34f60069c1d49f5e", "32a3b41dda351d73"),
    "sigmoid_cross_entropy_backward": ("73d1f5c9761dc973", "5bedc44913df4d29"),
    "sum_squared_error": ("0bafc4a951d9e044", "f3efe8d64d2d4b35"),
    "sum_squared_error_with_grad": ("8b139dda2c98cfdc", "224b201d2202c674"),
    "sum_squared_error_backward": ("8a322282c7c16e18", "5c7bdace9c2cc26d"),
    "sgd_update": ("47d1ed032d891b5e", "5dfdca936c07f9f7"),
    "momentum_update": ("0557e2e2c6ecadec", "3033eec8363e2d68"),
    "adam_update": ("a25ec8503725842a", "9a479195ec5df768"),
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
