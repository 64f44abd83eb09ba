from recipes.classification.classification import Classification
from recipes.settings import number


class Regularized(Classification, is_base=True):
    """A classifier whose network takes `regularizer` for its kernels."""

    l1: float = number(0.0, "weight of the sum of the kernels' absolute values in the loss", least=0, below=1e38)
    l2: float = number(0.0, "weight of the sum of the kernels' squares in the loss", least=0, below=1e38)

    @property
    def regularizer(self):
        """A `keras.regularizers.Regularizer`; None if nothing is added to the loss."""
        import keras

        return keras.regularizers.L1L2(self.l1, self.l2) if self.l1 or self.l2 else None
