"""TensorFlow's fused sparse softmax cross-entropy: optional, since no extra of ours brings it.

Tried, on one Zen 4 core with AVX-512, times ffkernels at 64x10, 512x1000, 64x50257, 512x32000: the
raw operation, which returns the gradient beside the losses, 94, 11, 10.7, 9.9; the same in a
`tf.function` 243, 11.5, 10.5, 9.6; a tape around it 850, 15, 12, 10.4; the tape in a `tf.function`
246, 12.5, 10.8, 9.8, compiled by XLA 174, 5.5, 5.9, 4.3. The raw operation races where a call is
what costs, XLA from there on.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from ..rounds import Call
from .base import Array, Peer

# Elements from which XLA's faster loops outweigh its slower call.
_XLA_FROM = 10**4


class TensorFlow(Peer):
    """`sparse_softmax_cross_entropy_with_logits`, forward and backward."""

    title, package = "TensorFlow", "tensorflow"

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self.tf = tf = importlib.import_module("tensorflow")
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)

        def tape(x: Any, t: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(x)
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(t, x)
                loss = tf.reduce_mean(losses)
            return loss, tape.gradient(loss, x)

        self._tape = tape

    @classmethod
    def version(cls) -> str:
        return str(importlib.import_module("tensorflow").__version__)

    def own(self, array: Array) -> Any:
        return self.tf.constant(array)

    def call(self, name: str, arguments: Sequence[Any], out: Any, axis: int = -1) -> Call | None:
        if name != "softmax_cross_entropy_with_grad":
            return None
        own = [self.own(array) for array in arguments]
        if arguments[0].size >= _XLA_FROM:
            return Call(self.tf.function(self._tape, jit_compile=True), own)
        return Call(self._raw, own)

    def _raw(self, x: Any, t: Any) -> Any:
        losses, grads = self.tf.raw_ops.SparseSoftmaxCrossEntropyWithLogits(features=x, labels=t)
        return self.tf.reduce_mean(losses), grads / x.shape[0]
