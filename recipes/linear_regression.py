import contextlib
import hashlib
import typing

from recipes import data as sets
from recipes import optimization
from recipes.errors import CommandError
from recipes.machine import dtypes
from recipes.recipe import Recipe, Signature
from recipes.settings import choice, line_search, number, optimizer, passes_per_epoch, schedule, whole
from recipes.settings import optimizers as names
from recipes.settings.beside_search import has_search
from recipes.settings.quantities import counted

SAMPLES = 100


class LinearRegression(Recipe):
    """Linear regression by batch, mini-batch and stochastic gradient descent, held against the exact solution.

    A line with slope 2 and intercept 1 through 100 points with noise of standard deviation 0.1:

        python -m recipes train linear_regression
        python -m recipes train linear_regression --preset mini_batch
        python -m recipes train linear_regression --preset stochastic
        python -m recipes train linear_regression --preset mae

    For the mean squared error the exact solution is that of the normal equations, for the mean absolute error that of a
    linear programme. Batch descent comes within 1e-6 of the first (float64); descent on single samples, whose gradients
    do not vanish at the solution, within 1e-2 as its rate falls; batch descent within 1e-3 of the second, whose
    gradient jumps at each point. Means of 5 seeds: benchmarks/results/linear_regression.csv. On torch, where Keras
    multiplies float64 matrices in float32, batch descent comes within 1e-6.
    """

    loss: str = choice("mse", "mean squared or mean absolute error", names=("mse", "mae"), is_searched=False)
    optimizer: str = optimizer("batch_gd", "one of ours or of Keras: see list --optimizers")
    line_search: str = line_search()
    learning_rate: float = number(0.7, "highest learning rate", above=0, changes="schedule")
    schedule: str = schedule("constant")
    momentum: float = number(None, "for optimizers that have it; 0 for batch_gd", of_optimizer=True)
    batch_size: int = whole(SAMPLES, "samples behind an update: all, some, or 1", most=SAMPLES, changes="data")
    epochs: int = whole(300, "passes over the samples", is_searched=False)
    passes_per_epoch: int = passes_per_epoch()
    seed: int = whole(0, "of the samples and their order", least=0, most=2**32 - 1, changes="data", is_searched=False)

    score = "distance"
    objectives = {"distance": "min"}
    dtypes = ("float64",)
    presets = {
        "batch": {},
        "mini_batch": {"batch_size": 10, "learning_rate": 0.4, "schedule": "inverse_time:0.02", "epochs": 300},
        "stochastic": {"batch_size": 1, "learning_rate": 0.4, "schedule": "inverse_time:0.02", "epochs": 100},
        "mae": {
            "loss": "mae",
            "learning_rate": 0.3,
            "schedule": "inverse_time:0.05",
            "momentum": 0.9,
            "epochs": 40,
            "passes_per_epoch": 100,
        },
        "smoke": {"epochs": 5},
    }

    def check(self):
        names.check_momentum(self.optimizer, self.momentum)
        if has_search(self) and self.batch_size < SAMPLES:
            raise CommandError(
                f"--batch-size {self.batch_size}: the line search of {self.optimizer} goes by the loss of all samples; "
                f"give --batch-size {SAMPLES}"
            )

    @property
    def steps(self):
        # one pass is one batch, which needs no window, but for a search, which is told the loss by it
        is_full = self.batch_size == SAMPLES and (self.passes > 1 or has_search(self))
        return names.accumulated_steps(self.optimizer, "auto") if is_full else 1

    def load(self, data_dir=None, download=False):
        """The points: `y = 2 x + 1` and noise of standard deviation 0.1, `x` in 0 to 1."""
        import numpy as np

        generator = np.random.RandomState(self.seed)  # with seed 0, those of the articles
        x = generator.rand(SAMPLES, 1)
        return Samples(x, 2 * x + 1 + 0.1 * generator.randn(SAMPLES, 1), self.seed)

    def model(self, data):
        """Slope and intercept in float64, from 0."""
        import keras

        layer = keras.layers.Dense(1, kernel_initializer="zeros", dtype="float64")
        model = keras.Sequential([keras.Input((1,), dtype="float64"), layer])
        rate = optimization.make_schedule(self.schedule, self.learning_rate, self.updates(data))
        loss = keras.losses.MeanSquaredError if self.loss == "mse" else keras.losses.MeanAbsoluteError
        made = optimization.make_optimizer(
            self.optimizer,
            learning_rate=rate,
            momentum=self.momentum,
            clipping="none",
            line_search=self.line_search,
        )
        # Keras rounds the loss to floatx, and a search would end where losses of float32 differ no more
        with dtypes.floatx("float64") if has_search(self) else contextlib.nullcontext():
            model.compile(made, loss(dtype="float64"))
        return model

    def batches(self, data):
        if self.steps == "epoch":
            return sets.full_batches(data.x, data.y, self.batch_size)
        return sets.ShuffledBatches(data.x, data.y, self.batch_size, self.seed)

    def signature(self, classes):
        make, use = ("inputs = np.array([[0.5]])",), ("print(outputs)",)
        return Signature("x, float64 (n, 1)", "y, float64 (n, 1)", make=make, use=use)

    def validate(self, model, data):
        return {"distance": self.judge(model, data)["distance"]}

    def judge(self, model, data, run=None):
        """Slope and intercept, the exact ones, and the larger of the two differences (`distance`)."""
        slope, intercept = (float(weight.flat[0]) for weight in model.get_weights())
        best = [float(each) for each in exact(data, self.loss)]
        return {
            "slope": slope,
            "intercept": intercept,
            "exact_slope": best[0],
            "exact_intercept": best[1],
            "distance": max(abs(slope - best[0]), abs(intercept - best[1])),
        }

    def summary(self, result):
        method = "normal equations" if self.loss == "mse" else "linear programme"
        return (
            f"y = {result['slope']:.6f} x + {result['intercept']:.6f}; the {method} give {result['exact_slope']:.6f} "
            f"and {result['exact_intercept']:.6f}. Distance {result['distance']:.1e} "
            f"after {counted(result['updates'], 'update')}."
        )


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
        digest = hashlib.sha256(self.x.tobytes() + self.y.tobytes()).hexdigest()
        return {"name": "a line with noise", "samples": len(self.x), "seed": self.seed, "digest": digest}

    def sizes(self):
        """Their numbers, in words."""
        return f"{len(self.x)} samples of a line with noise"

    def part(self, share):
        """The first of them, `share` of all."""
        n = max(round(share * len(self.x)), 1)
        return self._replace(x=self.x[:n], y=self.y[:n])


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
