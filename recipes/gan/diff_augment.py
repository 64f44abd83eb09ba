import keras
from keras import ops

from custom_optimizers.arguments import number_in
from recipes.gan.piece import Piece

POLICIES = ("color", "translation", "cutout")


@keras.saving.register_keras_serializable(package="recipes")
class DiffAugment(Piece):
    """Random changes of real and generated images, through which gradients pass.

    ```python
    color:        x + b,  b = uniform(-0.5, 0.5);  then saturation times uniform(0, 2) about the mean of the channels,
                  contrast times uniform(0.5, 1.5) about the mean of the image
    translation:  along each axis by uniform{-n..n} pixels, n = translation * side; -1 where there is no image
    cutout:       -1 in a square of cutout * side pixels about a place anywhere in the image
    ```

    Random numbers are drawn for each image. Images have values in -1 to 1, and -1 is black. Both the discriminator's
    and the generator's step change images, so that the generator does not learn to make changed images.

    Args:
        policies: str, one or more of "color", "translation" and "cutout", separated by commas; "" for no changes.
        translation: float in [0, 1], share of the side.
        cutout: float in [0, 1], share of the side.

    Raises:
        ValueError: an argument is out of its range.

    Reference:
        Zhao et al., Differentiable augmentation for data-efficient GAN training, 2020, arXiv:2006.10738 (where shifts
        and cuts leave 0, the middle grey of this range).

    Example:

    >>> from keras import ops
    >>> from recipes.gan import DiffAugment
    >>> images = ops.ones((4, 8, 8, 3))
    >>> augmented = DiffAugment("translation,cutout")(images, seed=0)
    >>> augmented.shape, float(ops.min(augmented))
    (TensorShape([4, 8, 8, 3]), -1.0)
    """

    arguments = ("policies", "translation", "cutout")

    def __init__(self, policies="", translation=0.125, cutout=0.5):
        self.policies = policies
        for policy in self._names:
            if policy not in POLICIES:
                raise ValueError(
                    f"DiffAugment: `policies` must be some of {', '.join(POLICIES)}. Received: policies={policies!r}"
                )
        self.translation = number_in("DiffAugment", "translation", translation, least=0, most=1)
        self.cutout = number_in("DiffAugment", "cutout", cutout, least=0, most=1)

    def __call__(self, images, seed=None):
        """Images of the same shape.

        Args:
            images: tensor, `(batch, height, width, channels)`.
            seed: `keras.random.SeedGenerator`, or an int, which gives the same changes at each call.
        """
        for policy in self._names:
            images = getattr(self, f"_{policy}")(images, seed)
        return images

    @property
    def _names(self):
        return [policy for policy in self.policies.split(",") if policy]

    def _color(self, x, seed):
        brightness, saturation, contrast = (
            _uniform(x, seed, low, high) for low, high in ((-0.5, 0.5), (0.0, 2.0), (0.5, 1.5))
        )
        x = x + brightness
        grey = ops.mean(x, axis=3, keepdims=True)
        x = (x - grey) * saturation + grey
        mean = ops.mean(x, axis=(1, 2, 3), keepdims=True)
        return (x - mean) * contrast + mean

    def _translation(self, x, seed):
        for axis in (1, 2):
            most = int(self.translation * x.shape[axis] + 0.5)
            x = _gathered(x, axis, _whole(x, seed, -most, most + 1))
        return x

    def _cutout(self, x, seed):
        inside = []
        for axis in (1, 2):
            side, size = x.shape[axis], int(self.cutout * x.shape[axis] + 0.5)
            first = _whole(x, seed, 0, side + 1 - size % 2) - size // 2  # (batch, 1)
            places = ops.arange(side)[None, :]
            inside.append((places >= first) & (places < first + size))
        hidden = (inside[0][:, :, None] & inside[1][:, None, :])[..., None]
        return ops.where(hidden, ops.cast(-1, x.dtype), x)


def _uniform(x, seed, low, high):
    """A number for each image, `(batch, 1, 1, 1)`."""
    return keras.random.uniform((ops.shape(x)[0], 1, 1, 1), low, high, dtype=x.dtype, seed=seed)


def _whole(x, seed, low, high):
    """An int for each image, from `low` to below `high`, `(batch, 1)`."""
    return keras.random.randint((ops.shape(x)[0], 1), low, high, seed=seed)


def _gathered(x, axis, shift):
    """Images whose rows (axis 1) or columns (axis 2) are moved by `shift`; rows and columns that get free are -1."""
    side = x.shape[axis]
    source = ops.arange(side)[None, :] - shift  # (batch, side)
    is_there = (source >= 0) & (source < side)
    shape = (-1, side, 1, 1) if axis == 1 else (-1, 1, side, 1)
    moved = ops.take_along_axis(x, ops.reshape(ops.clip(source, 0, side - 1), shape), axis=axis)
    return ops.where(ops.reshape(is_there, shape), moved, ops.cast(-1, x.dtype))
