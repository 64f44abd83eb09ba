"""What several callbacks need of the optimizer they watch."""

from custom_optimizers import Descent
from custom_optimizers.diagnostics import GIVE_UP_AFTER, divergence_message


def descent_of(optimizer, callback):
    """The optimizer of `custom_optimizers` behind a model's optimizer, which loss scaling may have wrapped."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if not isinstance(inner, Descent):
        raise TypeError(
            f"{callback} works with the optimizers of custom_optimizers, such as BatchGD. "
            f"This model was compiled with {type(inner).__module__}.{type(inner).__name__}."
        )
    return inner


def stop_if_diverged(model, optimizer):
    """Stop `fit` with one line once five gradients in a row were not finite."""
    skipped = optimizer.read_diagnostics().get("skipped_in_a_row", 0)
    if skipped >= GIVE_UP_AFTER and not model.stop_training:
        model.stop_training = True
        print("\n" + divergence_message(optimizer, skipped))
