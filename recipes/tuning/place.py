import contextlib
import dataclasses

from recipes import training
from recipes.machine import dtypes


@dataclasses.dataclass(frozen=True)
class Place:
    """How trials are computed: `strategy`, `dtype` and `data_dir`, as on the command line."""

    strategy: str = "auto"
    dtype: str | None = None
    data_dir: str | None = None

    @contextlib.contextmanager
    def computing(self, recipe, data):
        """The context in which a recipe is trained: its devices, and the dtype of its layers.

        Args:
            recipe: `recipes.recipe.Recipe`.
            data: what `recipe.load` returns.

        Yields:
            A dict for the config of the run: `backend`, `strategy`, `dtype`.
        """
        asked = training.computing(recipe, self.strategy, self.dtype)
        with training.devices_for(recipe, self.strategy) as devices:
            dtype = training.settled_dtype(recipe, data, asked["dtype"], devices)
            with dtypes.policy(dtype):
                yield {**asked, "strategy": devices.name, "dtype": dtype}
