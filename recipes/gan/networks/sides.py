SMALLEST = 4  # side of a generator's first images, pixels


def doublings_of(owner, shape):
    """How often the smallest side is doubled to be that of images `(height, width, channels)`.

    Raises:
        ValueError: they are not square, or their side is none that doubling gets to; it names `owner`.
    """
    height, width, _ = shape
    doublings = (height // SMALLEST).bit_length() - 1
    if height != width or doublings < 1 or SMALLEST << doublings != height:
        raise ValueError(f"{owner}: images must be square, of side 8, 16, 32 and so on. Received: shape={tuple(shape)}")
    return doublings
