from keras import ops

from custom_optimizers.diagnostics import Diagnostics, number
from custom_optimizers.rates_by_path import RatesByPath
from custom_optimizers.units import path_of


class Diagnosed(RatesByPath):
    """Base class of `Descent`: an optimizer that records its gradients if it is asked to.

    Args:
        kwargs: of `RatesByPath`.
    """

    diagnostics = False  # whether gradients are recorded, and updates with gradients that are not finite are skipped

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.is_watched = False  # whether a callback stops `fit` when gradients are not finite
        self._record = None  # made by `build`, or when a callback asks for it

    def build_record(self):
        """Add the variables of the record."""
        self._record = Diagnostics(self)

    def watch_gradients(self):
        """Turn the diagnostics on, also when this optimizer has been built already."""
        if self.diagnostics:
            return
        self.diagnostics = True
        if self.built:
            with self.scope():
                self.build_record()

    def count_voided(self):
        if self.diagnostics:
            self._record.count_skipped()

    def forget_skipped(self):
        """Set the number of updates skipped in a row to 0; callbacks do so when training begins."""
        if self._record is not None:
            self._record.forget_skipped()

    def read_diagnostics(self):
        """What the diagnostics have recorded.

        Returns:
            A dict: `gradient_norm` and `clipped_norm` (before and after clipping, of the last full batch),
            `clipped_share` (of all updates, 0 to 1), `updates`, `skipped_updates`, `skipped_in_a_row`.
            Empty before the first step.
        """
        if not (self.built and self.diagnostics):
            return {}
        return self._record.read(number(self._iterations))

    def read_variable_norms(self):
        """The Euclidean norm of each variable's gradient in the last full batch, before clipping, by its path.

        Empty before the first step and without diagnostics; 0 for a variable without a gradient.
        """
        if not (self.built and self.diagnostics):
            return {}
        values = ops.convert_to_numpy(self._record.variable_norms).tolist()
        return dict(zip(map(path_of, self._trainable_variables), values, strict=True))
