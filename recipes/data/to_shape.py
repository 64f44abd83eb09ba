import numpy as np

from recipes.errors import WorldError


def to_shape(image, shape):
    """Bring one image to the shape and type that a recipe trains on.

    The largest part with the proportions of `shape` is cut from the middle and resized (bicubic, antialiased). For
    three channels, a grey image gets three equal ones; for one channel, colours become luma (ITU-R 601). Transparency
    is dropped.

    Args:
        image: a `PIL.Image.Image`, or an array `(height, width)` or `(height, width, channels)` of uint8, of uint16
            (0 to 65535), or of floats in 0 to 1.
        shape: `(height, width, channels)` with 1 or 3 channels.

    Returns:
        A uint8 array of that shape.

    Raises:
        WorldError: the values are not finite, out of range, or of another type.
    """
    from PIL import Image, ImageOps

    height, width, channels = shape
    picture = _eight_bits(image) if isinstance(image, Image.Image) else _picture(np.asarray(image))
    picture = picture.convert("L" if channels == 1 else "RGB")
    if picture.size != (width, height):
        picture = ImageOps.fit(picture, (width, height), method=Image.Resampling.BICUBIC)
    return np.asarray(picture).reshape(shape)


def all_to_shape(images, shape):
    """Bring many images of one shape, `(n, height, width, channels)`, to another shape, as `to_shape` does."""
    if images.dtype == np.uint8 and images.shape[1:3] == shape[:2]:
        if images.shape[3] == shape[2]:
            return images
        if images.shape[3] == 1:
            return np.repeat(images, shape[2], axis=3)
    return np.stack([to_shape(image, shape) for image in images])


def _eight_bits(picture):
    """A picture with 8 bits a channel. Pillow itself would cut 16-bit and floating-point pixels off at 255."""
    if picture.mode.startswith("I") or picture.mode == "F":
        pixels = np.asarray(picture)
        if pixels.dtype.kind == "i":
            _require(pixels.min() >= 0 and pixels.max() <= 65535, "pixels outside 0 to 65535")
            pixels = pixels.astype(np.uint16)
        return _picture(pixels)
    return picture


def _picture(pixels):
    from PIL import Image

    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    _require(pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4)), f"an image of shape {pixels.shape}")
    return Image.fromarray(_bytes(pixels))


def _bytes(pixels):
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype.kind == "u" and pixels.dtype.itemsize == 2:  # of either byte order
        return np.round(pixels / 257).astype(np.uint8)
    _require(pixels.dtype.kind == "f", f"pixels of type {pixels.dtype}")
    _require(np.isfinite(pixels).all(), "pixels that are not finite")
    _require(pixels.min() >= 0 and pixels.max() <= 1, "floating-point pixels outside 0 to 1")
    return np.round(pixels * 255).astype(np.uint8)


def _require(true, what):
    if not true:
        raise WorldError(what)
