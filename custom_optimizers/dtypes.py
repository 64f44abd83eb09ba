import keras


def wide_dtype(*values):
    """The dtype that sums and rules of some tensors or variables are computed in: float64 if one is, else float32.

    Unlike `keras.backend.result_type`, which says float32 for float64 on torch.
    """
    dtypes = {keras.backend.standardize_dtype(value.dtype) for value in values}
    return "float64" if "float64" in dtypes else "float32"


def wide_floatx():
    """The dtype of what counts samples: float32, or float64 if that is Keras's own. In float16, 2049 is 2048."""
    return "float64" if keras.config.floatx() == "float64" else "float32"
