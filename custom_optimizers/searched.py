from custom_optimizers.configured import in_config
from custom_optimizers.descent import Descent
from custom_optimizers.line_search.line_searches import as_line_search
from custom_optimizers.search import Search, refuse_beside_search


class Searched(Descent):
    """Base class of optimizers that look for a step along a direction of their own, by the exact loss and gradient.

    ```python
    w = point + t * d                                # a pass begins: where the loss is looked at
    loss, g = mean over all micro-batches            # one evaluation
    t, accepted = line_search(loss, g @ d)
    if accepted: point, d = w, direction(g)          # an update: `iterations` counts these
    w = point                                        # a pass ends
    ```

    The step is what the search finds. So there is no learning rate, schedule or multiplier; no clipping, since the
    search bounds the step, and a clipped gradient is not that of the loss; no weight decay beside the loss: give layers
    `kernel_regularizer`, which is a part of it. Constraints of variables are refused: a step along a line leaves them.

    Args:
        direction: `custom_optimizers.directions.Direction`.
        line_search: `custom_optimizers.line_search.LineSearch`, or its name.
        diagnostics: bool, whether norms of gradients are recorded: those of the accepted point.
        name: str or None.

    Raises:
        ValueError: an argument is one that leaves nothing to search for. The message says what to do.
    """

    def __init__(self, direction, line_search, *, diagnostics=False, name=None, **kwargs):
        owner = type(self).__name__
        refuse_beside_search(owner, kwargs)
        super().__init__(1.0, diagnostics=diagnostics, name=name, **kwargs)
        self.line_search = as_line_search(owner, line_search)
        self.search = Search(self, direction, self.line_search)

    def get_config(self):
        return {
            "name": self.name,
            "diagnostics": self.diagnostics,
            **{name: in_config(getattr(self, name)) for name in self.arguments},
        }
