"""What is added to a matrix, beside NumPy's product of matrices, on every backend."""

import numpy as np
import pytest
from keras import ops

from custom_optimizers.either import added_if


@pytest.mark.parametrize("when", [True, False])
@pytest.mark.parametrize("size", [1, 3, 64, 65, 130])  # of which blocks of 64 rows are none, one and several
def test_products_and_a_diagonal_are_added_where_the_condition_holds(size, when):
    rng = np.random.default_rng(size)
    matrix, rows, mix = (rng.normal(size=shape).astype("float32") for shape in ((size, size), (4, size), (4, 4)))
    mix = mix + mix.T
    scale, diagonal = np.float32(0.5), np.float32(3)
    wanted = scale * matrix + rows.T @ mix @ rows + diagonal * np.eye(size) if when else matrix.copy()
    tensors = map(ops.convert_to_tensor, (np.bool_(when), matrix.copy(), scale, diagonal, mix, rows))
    np.testing.assert_allclose(ops.convert_to_numpy(added_if(*tensors)), wanted, rtol=1e-4, atol=1e-5)
    found = added_if(np.bool_(when), matrix.copy(), scale, diagonal, mix, rows)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
