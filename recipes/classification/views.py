"""Test-time augmentation: what a model makes of several views of an image, averaged.

| name | views and their weights |
|---|---|
| none | the image, 1 |
| flip | the image and its mirror image, 0.5 each |
| flip_shift | the image and its mirror image, 0.25 each; both moved by a pixel, up left and down right, 0.125 each |

Logits are averaged. What a shift uncovers is filled by reflection.

Reference:
    Jordan, 94 % on CIFAR-10 in 3.29 seconds on a single GPU, 2024, arXiv:2404.00498.
"""

NAMES = ("none", "flip", "flip_shift")


def views(images, name):
    """Pairs of a view, an array like the images, and its weight.

    Args:
        images: array `(n, height, width, channels)`.
        name: one of `NAMES`.
    """
    import numpy as np

    if name == "none":
        yield images, 1.0
        return
    weight = 0.5 if name == "flip" else 0.25
    yield from _with_mirror_image(images, weight)
    if name == "flip_shift":
        padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
        for shifted in (padded[:, :-2, :-2], padded[:, 2:, 2:]):
            yield from _with_mirror_image(shifted, 0.125)


def predict(model, images, name, batch_size):
    """The weighted mean of a model's outputs on the views of images, `(n, classes)`.

    Args:
        model: `keras.Model`.
        images: array `(n, height, width, channels)`.
        name: one of `NAMES`.
        batch_size: int >= 1, images at once. All batches are of this size, so that devices can share them.
    """
    import numpy as np

    from recipes.data.full_batches import plain_batches

    n = len(images)
    rows = np.resize(np.arange(n), -(-n // batch_size) * batch_size)
    return sum(
        weight * model.predict(**plain_batches((view[rows],), batch_size), verbose=0)[:n]
        for view, weight in views(images, name)
    )


def _with_mirror_image(images, weight):
    yield images, weight
    yield images[:, :, ::-1], weight
