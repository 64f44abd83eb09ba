import keras


def wide_dtype(*values):
    """The dtype that sums and rules of some tensors or variables are computed in: float64 if one is, else float32.

    Unlike `keras.backend.result_type`, which says float32 for float64 on torch.
    """
    dtypes = {keras.backend.standardize_dtype(value.dtype) for value in values}
    return "float64" if "float64" in dtypes else "float32"
