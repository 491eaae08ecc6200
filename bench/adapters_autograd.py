"""Cross-entropy from logits with its gradient inside autograd, JAX and PyTorch: the adapter against
each library's own, in alternating rounds on one thread. Libraries that are absent are left out.

    XLA_FLAGS=--xla_cpu_multi_thread_eigen=false OPENBLAS_NUM_THREADS=1 python bench/adapters_autograd.py
"""

from importlib.util import find_spec

import numpy as np

import ffkernels
from ffkernels._benchmark.rounds import Call, Effort, measure, medians

EFFORT = Effort(rounds=101, least=5, seconds=5.0)


def autograd_pair(x, t):
    import autograd.numpy as anp
    from autograd import value_and_grad
    from autograd.scipy.special import logsumexp

    from ffkernels.adapters.autograd import softmax_cross_entropy

    rows = np.arange(len(t))
    own = value_and_grad(lambda x: anp.mean(logsumexp(x, axis=1) - x[rows, t]))
    ours = value_and_grad(lambda x: softmax_cross_entropy(x, t))
    return {"ours": lambda: ours(x), "own": lambda: own(x)}


def jax_pair(x, t):
    import jax
    import jax.numpy as jnp

    from ffkernels.adapters.jax import softmax_cross_entropy

    def from_logits(x, t):
        # The fastest of the forms that were tried: see `ffkernels._benchmark.peers.jax`.
        return (jax.nn.logsumexp(x, 1) - jnp.take_along_axis(x, t[:, None], 1)[:, 0]).mean()

    def copied(x, t):
        return ffkernels.softmax_cross_entropy_with_grad(np.asarray(x), np.asarray(t))

    def callback(x, t):
        results = jax.ShapeDtypeStruct((), x.dtype), jax.ShapeDtypeStruct(x.shape, x.dtype)
        return jax.pure_callback(copied, results, x, t, vmap_method="broadcast_all")

    x, t = jnp.asarray(x), jnp.asarray(t)
    functions = {
        "ours": jax.jit(jax.value_and_grad(softmax_cross_entropy)),
        "own": jax.jit(jax.value_and_grad(from_logits)),
        "pure_callback": jax.jit(callback),
    }
    return {k: lambda f=f: jax.block_until_ready(f(x, t)) for k, f in functions.items()}


def torch_pair(x, t):
    import torch

    from ffkernels.adapters.torch import softmax_cross_entropy

    torch.set_num_threads(1)
    x, t = torch.from_numpy(x).requires_grad_(), torch.from_numpy(t)

    def step(loss):
        x.grad = None
        loss(x, t).backward()

    own = torch.nn.functional.cross_entropy
    return {"ours": lambda: step(softmax_cross_entropy), "own": lambda: step(own)}


def main():
    ffkernels.set_num_threads(1)
    rng = np.random.default_rng(0)
    for library, pair in (("autograd", autograd_pair), ("jax", jax_pair), ("torch", torch_pair)):
        if find_spec(library) is None:
            continue
        for rows, classes in ((64, 10), (512, 1000), (512, 32000)):
            x = rng.standard_normal((rows, classes)).astype(np.float32)
            functions = pair(x, rng.integers(0, classes, rows))
            calls = {name: Call(function) for name, function in functions.items()}
            times = medians(measure(calls, EFFORT))
            shown = (f"{name} {1e6 * time:.0f} us," for name, time in times.items())
            print(library, f"{rows}x{classes}", *shown, end=" ")
            print(f"own / ours {times['own'] / times['ours']:.2f}")


if __name__ == "__main__":
    main()
