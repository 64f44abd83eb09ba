"""Linear regression by batch, mini-batch and stochastic gradient descent, held against the exact solution.

A line with slope 2 and intercept 1 through 100 points with noise of standard deviation 0.1:

    python -m recipes train linear_regression
    python -m recipes train linear_regression --preset mini_batch
    python -m recipes train linear_regression --preset stochastic
    python -m recipes train linear_regression --preset mae

For the mean squared error the exact solution is that of the normal equations, for the mean absolute error that of a
linear programme. Batch descent comes within 1e-6 of the first (float64); descent on single samples, whose gradients
do not vanish at the solution, within 1e-2 as its rate falls; batch descent within 1e-3 of the second, whose gradient
jumps at each point. Means of 5 seeds: benchmarks/results/linear_regression.csv. On torch, where Keras multiplies
float64 matrices in float32, batch descent comes within 1e-6.
"""

import dataclasses
import math
import typing

from recipes.settings import optimizers
from recipes.settings.resolve import option, require, require_one_of
from recipes.settings.schedules import has_horizon, make_schedule, parse_schedule

VARIANTS = {"line": "batch"}  # network: its own preset
PRESETS = {
    "batch": {},
    "mini_batch": {"batch_size": 10, "learning_rate": 0.4, "schedule": "inverse_time:0.02", "epochs": 300},
    "stochastic": {"batch_size": 1, "learning_rate": 0.4, "schedule": "inverse_time:0.02", "epochs": 100},
    "mae": {"loss": "mae", "learning_rate": 0.3, "schedule": "inverse_time:0.05", "momentum": 0.9, "epochs": 4000},
    "smoke": {"epochs": 5},
}
LOSSES = ("mse", "mae")
DTYPE = "float64"
SCORE = "distance"  # what several seeds are averaged by
OBJECTIVES = {"distance": "min"}  # what a search can go by
SAMPLES = 100


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a run of this recipe is made of. Raises a CommandError for values that cannot be."""

    variant: str = option("line", f"network: {', '.join(VARIANTS)}")
    loss: str = option("mse", "mse or mae: mean squared or mean absolute error")
    optimizer: str = option("batch_gd", "one of ours or of Keras: see list --optimizers")
    learning_rate: float = option(0.7, "highest learning rate, > 0")
    schedule: str = option("constant", "of the learning rate over the updates; see list --schedules")
    momentum: float | None = option(None, "for optimizers that have it; 0 for batch_gd")
    batch_size: int = option(SAMPLES, f"samples behind an update: all {SAMPLES}, some, or 1")
    epochs: int = option(300, "passes over the samples")
    seed: int = option(0, "of the samples and their order")

    def __post_init__(self):
        require_one_of("variant", self.variant, VARIANTS)
        require_one_of("loss", self.loss, LOSSES)
        parse_schedule(self.schedule)
        require(0 < self.learning_rate < math.inf, "--learning-rate must be > 0", self.learning_rate)
        optimizers.parse_optimizer(self.optimizer)
        if self.momentum is None and self.optimizer == "batch_gd":
            object.__setattr__(self, "momentum", 0.0)
        optimizers.check_momentum(self.optimizer, self.momentum)
        require(1 <= self.batch_size <= SAMPLES, f"--batch-size must lie in 1 to {SAMPLES}", self.batch_size)
        require(0 < self.epochs < 2**31, "--epochs must lie in 1 to 2147483647", self.epochs)
        require(0 <= self.seed < 2**32, "--seed must lie in 0 to 4294967295", self.seed)


class Samples(typing.NamedTuple):
    """Points `(x, y)`, float64 `(100, 1)`."""

    x: typing.Any
    y: typing.Any
    seed: int

    @property
    def train_size(self):
        return len(self.x)

    def about(self):
        """What a run writes down about them."""
        import hashlib

        digest = hashlib.sha256(self.x.tobytes() + self.y.tobytes()).hexdigest()
        return {"name": "a line with noise", "samples": len(self.x), "seed": self.seed, "digest": digest}

    def sizes(self):
        """Their numbers, in words."""
        return f"{len(self.x)} samples of a line with noise"

    def part(self, share):
        """The first of them, `share` of all."""
        n = max(round(share * len(self.x)), 1)
        return self._replace(x=self.x[:n], y=self.y[:n])


def load(settings, data_dir=None, download=False):
    """The points: `y = 2 x + 1` and noise of standard deviation 0.1, `x` in 0 to 1."""
    import numpy as np

    generator = np.random.RandomState(settings.seed)  # with seed 0, those of the articles
    x = generator.rand(SAMPLES, 1)
    return Samples(x, 2 * x + 1 + 0.1 * generator.randn(SAMPLES, 1), settings.seed)


def build_model(settings, samples):
    """Build and compile the model, slope and intercept in float64, from 0."""
    import keras

    layer = keras.layers.Dense(1, kernel_initializer="zeros", dtype="float64")
    model = keras.Sequential([keras.Input((1,), dtype="float64"), layer])
    rate = make_schedule(settings.schedule, settings.learning_rate, updates(settings, samples))
    loss = keras.losses.MeanSquaredError if settings.loss == "mse" else keras.losses.MeanAbsoluteError
    optimizer = optimizers.make(settings.optimizer, learning_rate=rate, momentum=settings.momentum, clipping="none")
    model.compile(optimizer, loss(dtype="float64"))
    return model


def updates(settings, samples):
    """Number of updates that a run makes."""
    return settings.epochs * -(-len(samples.x) // settings.batch_size)


def exact(samples, loss):
    """Slope and intercept with the lowest loss, by methods that do not descend.

    ```python
    mse:  solve(A.T @ A, A.T @ y)                    # normal equations, A = [x, 1]
    mae:  min sum(t)  with  -t <= A @ w - y <= t     # linear programme
    ```
    """
    import numpy as np
    from scipy.optimize import linprog

    matrix = np.hstack([samples.x, np.ones_like(samples.x)])
    if loss == "mse":
        return np.linalg.solve(matrix.T @ matrix, matrix.T @ samples.y)[:, 0]
    identity = np.eye(len(matrix))
    limits = np.block([[matrix, -identity], [-matrix, -identity]])
    costs = np.concatenate([np.zeros(2), np.ones(len(matrix))])
    found = linprog(costs, limits, np.concatenate([samples.y, -samples.y])[:, 0], bounds=(None, None))
    return found.x[:2]


def train(settings, run, samples):
    """Descend, and compare with the exact solution.

    Args:
        settings: `Settings`.
        run: `recipes.run.run.Run`, the directory that the results go to.
        samples: `Samples`.

    Returns:
        As `judge`, with what `recipes.training.fit.fit` gives.
    """
    model, trained = fit(settings, run, samples)
    run.save(model, title=f"Linear regression, batches of {settings.batch_size}, {settings.loss}")
    return {**judge(model, settings, samples), **trained}


def fit(settings, run, samples, model=None, **options):
    """Descend, and do not compare.

    Args:
        settings, run, samples: as in `train`.
        model: what `build_model` gives; by default it is built.
        options: `until`, `callbacks`, `verbose` of `recipes.training.fit.fit`.

    Returns:
        `(model, trained)`, the second a dict as `recipes.training.fit.fit` gives it.
    """
    from recipes.training import fit as training

    model = build_model(settings, samples) if model is None else model
    options = {"verbose": 0, **options}
    return model, training.fit(
        model, _batches(settings, samples), run, epochs=settings.epochs, seed=settings.seed, full=False, **options
    )


def _batches(settings, samples):
    from recipes.data import ShuffledBatches

    return ShuffledBatches(samples.x, samples.y, settings.batch_size, settings.seed)


def find_rates(settings, samples):
    """Between which learning rates a search makes sense, as `recipes.training.fit.find_rates` has it."""
    from recipes.training import fit as training

    return training.find_rates(build_model(settings, samples), _batches(settings, samples), full=False)


def validate(model, settings, samples):
    """How near a model is to the exact solution: a dict of `OBJECTIVES`."""
    return {"distance": judge(model, settings, samples)["distance"]}


def judge(model, settings, samples):
    """Slope and intercept, the exact ones, and the larger of the two differences (`distance`)."""
    import numpy as np

    found = np.array([float(weight.flat[0]) for weight in model.get_weights()])
    best = exact(samples, settings.loss)
    return {
        "slope": found[0],
        "intercept": found[1],
        "exact_slope": best[0],
        "exact_intercept": best[1],
        "distance": np.abs(found - best).max(),
    }


def summary(settings, result):
    """A result in one sentence."""
    method = "normal equations" if settings.loss == "mse" else "linear programme"
    return (
        f"y = {result['slope']:.6f} x + {result['intercept']:.6f}; the {method} give {result['exact_slope']:.6f} and "
        f"{result['exact_intercept']:.6f}. Distance {result['distance']:.1e} after {result['updates']} updates."
    )


def horizon_matters(settings):
    """Whether a run of more epochs differs from this one from its first epoch on."""
    return has_horizon(settings.schedule)
