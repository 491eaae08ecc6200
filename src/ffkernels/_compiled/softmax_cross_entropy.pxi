# Softmax cross-entropy from Python: by class indices alone (index_cross_entropy.pxi), or with a
# coefficient for every class (soft_cross_entropy.pxi).

# What the arguments that an `out` may overlap are called in messages.
cdef tuple LOGITS = ("logits", "targets", "weight", "sample_weight")
cdef tuple PROBS = ("probs", "targets", "weight", "sample_weight", "dloss")


cdef inline bint has_coefficients(const ClassLoss *call) noexcept:
    return not call.indices or call.smoothing > 0


def softmax_cross_entropy(logits, targets, axis, weight, ignore_index, label_smoothing, sample_weight, reduction, out):
    cdef ClassLoss call
    checked = check_class_loss(&call, "logits", logits, targets, axis, weight, ignore_index, label_smoothing,
                               sample_weight, reduction)
    out = check_loss_out(&call, out, LOGITS, logits, targets, weight, sample_weight)
    return run_class_loss(
        &call, &soft_cross_entropy_kernels if has_coefficients(&call) else &index_cross_entropy_kernels, None, out, 0)


def softmax_cross_entropy_with_grad(logits, targets, axis, weight, ignore_index, label_smoothing, sample_weight,
                                    reduction, out):
    cdef ClassLoss call
    checked = check_class_loss(&call, "logits", logits, targets, axis, weight, ignore_index, label_smoothing,
                               sample_weight, reduction)
    grad = result = ready_gradient(&call, out, targets, weight, sample_weight)
    if grad is None:
        grad, result = check_gradient_out(&call, checked, out, LOGITS, logits, targets, weight, sample_weight)
    loss = run_class_loss(
        &call, &soft_cross_entropy_kernels if has_coefficients(&call) else &index_cross_entropy_kernels, grad, None, 0)
    return loss, finish_output(grad, result, out)


def softmax_cross_entropy_backward(probs, targets, dloss, axis, weight, ignore_index, label_smoothing, sample_weight,
                                   reduction, out):
    cdef ClassLoss call
    checked = check_class_loss(&call, "probs", probs, targets, axis, weight, ignore_index, label_smoothing,
                               sample_weight, reduction)
    factor = check_dloss(&call, dloss)
    grad = result = ready_gradient(&call, out, targets, weight, sample_weight) if factor is dloss else None
    if grad is None:
        grad, result = check_gradient_out(&call, checked, out, PROBS, probs, targets, weight, sample_weight, dloss)
    run_class_loss_backward(
        &call,
        &soft_cross_entropy_backward_kernels if has_coefficients(&call) else &index_cross_entropy_backward_kernels,
        grad, factor, 0)
    return finish_output(grad, result, out)
