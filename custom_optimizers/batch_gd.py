import keras

from custom_optimizers.arguments import flag, number_in, one_of, positive
from custom_optimizers.descent import Descent
from custom_optimizers.directions import Steepest
from custom_optimizers.line_search.line_searches import as_line_search
from custom_optimizers.search import Search, refuse_beside_search

PRESETS = {"momentum": {"momentum": 0.9}, "nesterov": {"momentum": 0.9, "nesterov": True}}


@keras.saving.register_keras_serializable(package="custom_optimizers")
class BatchGD(Descent):
    """Gradient descent on the full batch, with momentum.

    Update rule for a parameter `w` with the gradient `g` of the full batch:

    ```python
    w = w - learning_rate * g                                    # momentum == 0

    velocity = momentum * velocity - learning_rate * g           # velocity="keras"
    w = w + velocity                                             # nesterov=False
    w = w + momentum * velocity - learning_rate * g              # nesterov=True

    velocity = momentum * velocity + g                           # velocity="torch"
    w = w - learning_rate * velocity                             # nesterov=False
    w = w - learning_rate * (g + momentum * velocity)            # nesterov=True

    w = w - t * g                                                # line_search: it finds t, as `Search` says
    ```

    The full batch is the data behind one update. By default it is the batch that `fit` hands over, and `BatchGD` is
    a drop-in for `keras.optimizers.SGD`: same arguments, variables and numbers. With `callbacks.FullBatch()` it is
    the whole training set, taken in micro-batches of `fit`'s `batch_size`, so that memory does not grow with it.

    Batch normalisation couples the samples of a micro-batch: with it, the gradient is the mean of the gradients of
    the micro-batches, each normalised by its own statistics, and not the gradient of the full batch normalised as
    one. Group and layer normalisation do not couple samples and give the exact full batch. Dropout draws a mask for
    each micro-batch.

    Args:
        learning_rate: float > 0, a `keras.optimizers.schedules.LearningRateSchedule`, called with the number of
            updates, or a callable without arguments.
        momentum: float in [0, 1].
        nesterov: bool, whether to use Nesterov momentum.
        weight_decay: float >= 0 or None.
        clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency, loss_scale_factor, name:
            as in `keras.optimizers.SGD`, and at the same positions; but they count updates, and clipping acts on the
            gradient summed over replicas.
        gradient_accumulation_steps: None (each batch is the full batch), an int k >= 2 (one update for every k
            micro-batches), or "epoch" (one update a pass; needs `callbacks.FullBatch()`, which sets it).
        clipping: None, a clipper of `custom_optimizers.clipping`, or a list of them.
        diagnostics: bool, record gradient norms and skip non-finite updates. Always on with `clipping`.
        weight_decay_mode: "decoupled" (`w -= learning_rate * weight_decay * w`, before the update) or "coupled"
            (`g += weight_decay * w`, after clipping, as `torch.optim.SGD` does).
        exclude_from_weight_decay: None or a list of regular expressions, such as `["bias", "norm"]`: variables whose
            path has a match do not decay.
        learning_rate_multipliers: None or a dict from regular expressions to numbers >= 0, such as `{"head/": 10}`: the
            rate of a variable is multiplied by the number of the first that its path has a match for.
        line_search: None, or "strong_wolfe", "hager_zhang", "armijo", "nonmonotone_armijo", or an object of
            `custom_optimizers.line_search`, which finds the step of each update by the exact loss and gradient: `fit`
            needs `callbacks.FullBatch()`, and each pass is an evaluation at one step. `learning_rate`, a number, is
            then the step that is tried first; later ones begin at what would have changed the loss as the last update
            did. There is nothing else beside it: no momentum, decay, clipping or schedule. `LBFGS` takes fewer passes.
        velocity: "keras" keeps the learning rate inside the velocity, "torch" outside, as `torch.optim.SGD` does. The
            two agree for a constant rate; papers written in torch need "torch" under a schedule.

    Raises:
        ValueError: an argument is out of its range.

    References:
        Cauchy, Méthode générale pour la résolution des systèmes d'équations simultanées, 1847.
        Polyak, Some methods of speeding up the convergence of iteration methods, 1964 (momentum).
        Sutskever et al., On the importance of initialization and momentum in deep learning, 2013 (nesterov).

    Example:

    >>> import keras, numpy as np
    >>> from callbacks import FullBatch
    >>> from custom_optimizers import BatchGD
    >>> model = keras.Sequential([keras.layers.Dense(1)])
    >>> model.compile(optimizer=BatchGD(learning_rate=0.1, momentum=0.9), loss="mse")
    >>> x = np.random.rand(1000, 3)
    >>> history = model.fit(x, x.sum(axis=1), batch_size=64, epochs=2, callbacks=[FullBatch()], verbose=0)
    >>> int(model.optimizer.iterations)  # one update a pass
    2
    """

    arguments = ("momentum", "nesterov", "velocity", "line_search")

    def __init__(
        self,
        learning_rate=0.01,
        momentum=0.0,
        nesterov=False,
        weight_decay=None,
        clipnorm=None,
        clipvalue=None,
        global_clipnorm=None,
        use_ema=False,
        ema_momentum=0.99,
        ema_overwrite_frequency=None,
        loss_scale_factor=None,
        gradient_accumulation_steps=None,
        name=None,
        *,
        velocity="keras",
        clipping=None,
        diagnostics=False,
        weight_decay_mode="decoupled",
        line_search=None,
        **kwargs,
    ):
        if line_search is not None:
            given = {
                **{"weight_decay": weight_decay, "clipnorm": clipnorm, "clipvalue": clipvalue, "clipping": clipping},
                **{"global_clipnorm": global_clipnorm, "use_ema": use_ema, "loss_scale_factor": loss_scale_factor},
                **{"gradient_accumulation_steps": gradient_accumulation_steps, "momentum": momentum, **kwargs},
                **{"nesterov": nesterov, "velocity": velocity != "keras"},
            }
            refuse_beside_search("BatchGD with a line search", given)
            positive("BatchGD with a line search", "learning_rate", learning_rate)
        super().__init__(
            learning_rate,
            gradient_accumulation_steps=gradient_accumulation_steps,
            clipping=clipping,
            diagnostics=diagnostics,
            weight_decay=weight_decay,
            weight_decay_mode=weight_decay_mode,
            clipnorm=clipnorm,
            clipvalue=clipvalue,
            global_clipnorm=global_clipnorm,
            use_ema=use_ema,
            ema_momentum=ema_momentum,
            ema_overwrite_frequency=ema_overwrite_frequency,
            loss_scale_factor=loss_scale_factor,
            name=name,
            **kwargs,
        )
        self.momentum = number_in("BatchGD", "momentum", momentum, least=0, most=1)
        self.nesterov = flag("BatchGD", "nesterov", nesterov)
        self.velocity = one_of("BatchGD", "velocity", velocity, ("keras", "torch"))
        self.line_search = None if line_search is None else as_line_search("BatchGD", line_search, is_descent=True)
        if self.line_search is not None:
            self.search = Search(self, Steepest(), self.line_search, first_step=float(learning_rate))

    @classmethod
    def from_preset(cls, preset, **arguments):
        """`BatchGD` with the settings of a well-known method; arguments are added to them or replace them.

        Args:
            preset: "momentum" (`momentum=0.9`) or "nesterov" (`momentum=0.9, nesterov=True`).
            arguments: of `BatchGD`.
        """
        one_of("BatchGD", "preset", preset, tuple(PRESETS))
        return cls(**{**PRESETS[preset], **arguments})

    @property
    def slot_names(self):
        return ("momentum",) if self.momentum else ()

    @property
    def rate_times_gradient(self):
        return self._has_own_rule and (not self.momentum or self.velocity == "keras")

    @property
    def _has_own_rule(self):
        """Whether no subclass has put another rule in the place of this one."""
        return type(self).rule is BatchGD.rule

    def rule(self, gradient, slots, learning_rate):
        step = gradient * learning_rate
        if not self.momentum:
            return -step, ()
        (velocity,) = slots
        if self.velocity == "keras":
            velocity = velocity * self.momentum - step
            return velocity * self.momentum - step if self.nesterov else velocity, (velocity,)
        velocity = velocity * self.momentum + gradient
        direction = velocity * self.momentum + gradient if self.nesterov else velocity
        return -(direction * learning_rate), (velocity,)

    def step_by_kernel(self, kernels, gradient, variable, learning_rate):
        if not self._has_own_rule or (self.momentum and variable.dtype not in ("float32", "float64")):
            return False
        if self.momentum:
            velocity = self.slots[0][self._get_variable_index(variable)]
            inside = self.velocity == "keras"
            kernels.descend_with_momentum(
                variable, velocity, gradient, learning_rate, self.momentum, self.nesterov, inside
            )
        else:
            kernels.descend(variable, gradient, learning_rate)  # an embedding's gradient stays sparse
        return True
