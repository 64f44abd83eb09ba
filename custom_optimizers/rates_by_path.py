from keras import ops

from custom_optimizers.arguments import number_in, one_of
from custom_optimizers.dtypes import wide_dtype
from custom_optimizers.patterns import Patterns
from custom_optimizers.units import path_of
from custom_optimizers.windowed import Windowed


class RatesByPath(Windowed):
    """Base class of `Descent`: learning rates and weight decay that are chosen by the paths of variables.

    ```python
    rate = learning_rate * multiplier             # of the variable; 1 by default
    w = w - rate * weight_decay * w               # decoupled
    g = g + weight_decay * w                      # coupled
    ```

    Args:
        weight_decay, weight_decay_mode, exclude_from_weight_decay, learning_rate_multipliers: as in `Descent`.
        kwargs: of `Windowed` and `keras.optimizers.Optimizer`.
    """

    def __init__(
        self, *, weight_decay, weight_decay_mode, exclude_from_weight_decay, learning_rate_multipliers, **kwargs
    ):
        owner = type(self).__name__
        if weight_decay is not None:
            weight_decay = number_in(owner, "weight_decay", weight_decay, least=0)
        super().__init__(weight_decay=weight_decay, **kwargs)
        self.weight_decay_mode = one_of(owner, "weight_decay_mode", weight_decay_mode, ("decoupled", "coupled"))
        self.not_decayed = Patterns.of_list(owner, "exclude_from_weight_decay", exclude_from_weight_decay)
        self.multipliers = Patterns.of_dict(owner, "learning_rate_multipliers", learning_rate_multipliers)
        self._matched = None  # the paths that the arguments about paths were matched with, as the config has them

    @property
    def patterns(self):
        """All arguments about paths, a list of `Patterns`."""
        return [self.not_decayed, self.multipliers]

    def match_patterns(self, variables):
        """Find out which variables the arguments about paths mean.

        The config of a saved model has the paths of its variables. They are used again when it is loaded, since Keras
        numbers the layers of a loaded model anew and may drop the model's name.
        """
        described = [[path_of(v).rpartition("/")[2], list(v.shape)] for v in variables]
        saved = self._matched or {}
        paths = saved["paths"] if saved.get("variables") == described else [path_of(v) for v in variables]
        given = [patterns for patterns in self.patterns if patterns.given]
        for patterns in given:
            patterns.match(paths)
        self._matched = {"variables": described, "paths": paths} if given else None

    def multiplier_of(self, variable):
        """What the learning rate of a variable is multiplied by."""
        return self.multipliers.by_index.get(self._get_variable_index(variable), 1)

    def decays(self, variable):
        """Whether weight decay acts on a variable."""
        index = self._get_variable_index(variable)
        return (
            self.weight_decay is not None
            and index not in self.not_decayed.by_index
            and self._use_weight_decay(variable)
        )

    def weight_decay_of(self, variable):
        """The weight decay of a variable that decays."""
        return self.weight_decay

    @property
    def decays_in_gradients(self):
        """Whether weight decay is a part of the gradients."""
        return self.weight_decay is not None and self.weight_decay_mode == "coupled"

    def decay(self, variable, learning_rate):
        """Apply decoupled weight decay to one variable."""
        decay = ops.cast(self.weight_decay_of(variable), variable.dtype)
        self.assign_sub(variable, variable * decay * ops.cast(learning_rate, variable.dtype))

    def with_decay(self, gradient, variable):
        """The gradient of one variable, with coupled weight decay in it where the variable decays."""
        if not self.decays(variable):
            return gradient
        wide = wide_dtype(gradient, variable)
        return ops.cast(gradient, wide) + ops.cast(variable, wide) * ops.cast(self.weight_decay_of(variable), wide)

    def get_config(self):
        return {
            **super().get_config(),
            "weight_decay_mode": self.weight_decay_mode,
            "exclude_from_weight_decay": list(self.not_decayed.given) or None,
            "learning_rate_multipliers": dict(self.multipliers.given) or None,
            **({"matched": self._matched} if self._matched else {}),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        matched = config.pop("matched", None)
        optimizer = super().from_config(config, custom_objects=custom_objects)
        optimizer._matched = matched
        return optimizer
