"""The recipe's network is that of the reference in torch, which nothing of Keras went into."""

import keras
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from benchmarks import cifar10_torch  # noqa: E402
from recipes.models import fast  # noqa: E402

WIDTHS = 16, 24, 32


def pair():
    """The recipe's network and the reference's, with the same weights; the reference's bias of the whitening is 0."""
    rng = np.random.default_rng(0)
    ours, theirs = fast((32, 32, 3), 10, widths=WIDTHS), cifar10_torch.Network(WIDTHS, "relu")
    kernels = [layer for layer in theirs.modules() if isinstance(layer, torch.nn.Conv2d)]
    norms = [layer for layer in theirs.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.eps = 1e-5  # the original's 1e-12 is nothing to bfloat16
        with torch.no_grad():
            norm.bias.copy_(torch.from_numpy(rng.normal(size=len(norm.bias))))
    ours.get_layer("whitening").filters.assign(rng.normal(size=(2, 2, 3, 24)))
    head = next(layer for layer in theirs.modules() if isinstance(layer, torch.nn.Linear))
    with torch.no_grad():
        filters = keras.ops.convert_to_numpy(ours.get_layer("whitening").filters)
        kernels[0].weight.copy_(torch.from_numpy(filters.transpose(3, 2, 0, 1)))
    values = iter([*(k.weight for k in kernels[1:])])
    offsets = iter([norm.bias for norm in norms])
    for variable in ours.trainable_variables:
        if variable.path.endswith("beta"):
            variable.assign(next(offsets).detach().numpy())
        elif variable.path.startswith("head"):
            variable.assign(head.weight.detach().numpy().T)
        else:
            variable.assign(next(values).detach().numpy().transpose(2, 3, 1, 0))
    return ours, theirs


@pytest.mark.parametrize("training", [True, False])
def test_logits_equal_those_of_the_reference(training):
    ours, theirs = pair()
    theirs.train(training)
    x = np.random.default_rng(1).normal(size=(8, 32, 32, 3)).astype("float32")
    images = torch.from_numpy(x.transpose(0, 3, 1, 2))
    with torch.no_grad():  # outside of the reference's autocast
        expected = theirs.rest(theirs.whitening(images)) * cifar10_torch.LOGIT_SCALE
    found = keras.ops.convert_to_numpy(ours(x, training=training))
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-3, atol=1e-4)
