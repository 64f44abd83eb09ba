"""What several callbacks need from the optimizer that they watch."""

from custom_optimizers import Descent
from custom_optimizers.diagnostics import GIVE_UP_AFTER, divergence_message

VOIDED = (
    "FullBatch: loss scaling dropped a micro-batch in each of {} passes in a row, so none made an update. Use "
    "mixed_bfloat16, or a LossScaleOptimizer whose scale grows more rarely: dynamic_growth_steps of many passes."
)


def descent_of(optimizer, callback):
    """The optimizer of `custom_optimizers` behind a model's optimizer, which loss scaling may have wrapped."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if not isinstance(inner, Descent):
        raise TypeError(
            f"{callback} works with the optimizers of custom_optimizers, such as BatchGD. "
            f"This model was compiled with {type(inner).__module__}.{type(inner).__name__}; put it into "
            f"custom_optimizers.Accumulate({type(inner).__name__}(...))."
        )
    return inner


def stop_if_diverged(model, optimizer, voided=False):
    """Stop `fit`, with one line, after five full batches in a row whose gradient was not finite or was `voided`.

    A pass is voided if loss scaling has dropped a part of it.
    """
    skipped = optimizer.read_diagnostics().get("skipped_in_a_row", 0)
    if skipped >= GIVE_UP_AFTER and not model.stop_training:
        model.stop_training = True
        print("\n" + (VOIDED.format(skipped) if voided else divergence_message(optimizer, skipped)))
