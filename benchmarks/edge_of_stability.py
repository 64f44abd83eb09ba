"""Full-batch descent of a small network: its sharpness rises to two over the learning rate and stays there.

Two hidden layers of 64 units, tanh, fitted to the Chebyshev polynomial of degree 4 at 20 points by descent
without momentum, an example of Cohen et al. (arXiv:2103.00065). `callbacks.Sharpness` looks at every hundredth
update; one seed. Writes results/edge_of_stability.json and docs/edge_of_stability.png.

    python -m benchmarks.edge_of_stability        # ten seconds on two cores
"""

import pathlib
import statistics

import numpy as np

from benchmarks.record import write

RATES, UPDATES = (0.1, 0.05, 0.02), 16000
BETWEEN = 100  # updates, from one look to the next
PICTURE = pathlib.Path(__file__).parents[1] / "docs" / "edge_of_stability.png"


def points():
    """`(x, y)` of the polynomial, float32 `(20, 1)`."""
    x = np.linspace(-1, 1, 20)[:, None]
    return x.astype("float32"), np.polynomial.chebyshev.Chebyshev.basis(4)(x).astype("float32")


def sharpness_along(rate, updates, seed=0):
    """`{"sharpness": [...], "loss": [...]}` after each `BETWEEN` updates."""
    import keras

    from callbacks import FullBatch, Sharpness
    from custom_optimizers import BatchGD

    keras.utils.set_random_seed(seed)
    x, y = points()
    layers = [keras.layers.Dense(64, "tanh"), keras.layers.Dense(64, "tanh"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((1,)), *layers])
    model.compile(BatchGD(rate, momentum=0.0), "mse")
    callbacks = [FullBatch(passes_per_epoch=BETWEEN), Sharpness(x, y)]
    history = model.fit(x, y, epochs=updates // BETWEEN, verbose=0, callbacks=callbacks).history
    return {name: history[name] for name in ("sharpness", "loss")}


def draw(runs):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for rate, run in runs.items():
        (line,) = axes.plot(BETWEEN * (1 + np.arange(len(run["sharpness"]))), run["sharpness"], label=f"rate {rate}")
        axes.axhline(2 / rate, color=line.get_color(), linestyle=":", linewidth=1)
    axes.set(yscale="log", xlabel="updates", ylabel="largest eigenvalue of the Hessian")
    axes.set_title("Sharpness rises to 2 / rate (dotted) and stays there")
    axes.legend(loc="lower right")
    figure.savefig(PICTURE, dpi=110)


def main():
    runs = {}
    for rate in RATES:
        runs[rate] = sharpness_along(rate, UPDATES)
        end = statistics.median(runs[rate]["sharpness"][-10:])
        print(f"rate {rate}: {runs[rate]['sharpness'][0]:.1f} at first, {end:.1f} at the end, 2 / rate {2 / rate:.1f}")
    draw(runs)
    found = {str(rate): run for rate, run in runs.items()}
    write("edge_of_stability", {"seeds": 1, "updates_between_looks": BETWEEN, "runs": found})


if __name__ == "__main__":
    main()
