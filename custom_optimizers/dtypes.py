import keras


def wide_dtype(*values):
    """The dtype that sums and rules of some values are computed in: float64 if one of them is float64, else float32.

    `keras.backend.result_type` would not do: on torch it returns float32 for float64.
    """
    dtypes = {keras.backend.standardize_dtype(value.dtype) for value in values}
    return "float64" if "float64" in dtypes else "float32"


def wide_floatx():
    """The dtype of numbers of samples: float32, or float64 if that is Keras's floatx. In float16, 2049 becomes 2048."""
    return "float64" if keras.config.floatx() == "float64" else "float32"
