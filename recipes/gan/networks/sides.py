SMALLEST = 4  # side of a generator's first images, pixels


def doublings_of(owner, shape):
    """How often the smallest side is doubled to get the side of images `(height, width, channels)`.

    Raises:
        ValueError: the images are not square, or doubling does not lead to their side. The error names `owner`.
    """
    height, width, _ = shape
    doublings = (height // SMALLEST).bit_length() - 1
    if height != width or doublings < 1 or SMALLEST << doublings != height:
        raise ValueError(f"{owner}: images must be square, of side 8, 16, 32 and so on. Received: shape={tuple(shape)}")
    return doublings
