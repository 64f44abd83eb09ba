"""What each clipper makes of a network whose gradients explode, and which layers `GradientMonitor` names.

Twenty dense layers of 64 units with ReLU, their weights twice those of He's initialisation, so that each layer doubles
what passes it: outputs of a million at first. Descent with momentum 0.9 in batches of 32 on the digits (8×8, 1,437 to
train on), the same rate for all, three seeds.

    python -m benchmarks.exploding        # five minutes on two cores
"""

import json
import statistics

import numpy as np

from benchmarks.record import write

CLIPPINGS = (
    "none",
    "by_value:0.01",
    "by_norm:0.1",
    "by_global_norm:1.0",
    "by_block_rms:0.001",
    "agc:0.02",
    "auto_clip",
    "z_clip",
    "ada_gc",
    "normalize",
    "soft:1.0",
    "centralize",
    "centralize+by_global_norm:1.0",
)
LAYERS, UNITS, GAIN = 20, 64, 2.0
RATE, EPOCHS, SEEDS = 0.02, 10, 3


def network(seed):
    import keras

    keras.utils.set_random_seed(seed)
    initial = keras.initializers.VarianceScaling(2.0 * GAIN**2, "fan_in", "untruncated_normal")
    hidden = [
        keras.layers.Dense(UNITS, "relu", kernel_initializer=initial.clone(), name=f"layer_{i:02d}")
        for i in range(LAYERS)
    ]
    return keras.Sequential([keras.Input((64,)), *hidden, keras.layers.Dense(10, name="logits")])


def trained(clipping, seed, x, y, test):
    """What became of a training, a dict."""
    import keras

    from callbacks import GradientMonitor
    from custom_optimizers import BatchGD
    from recipes.optimization import make_clippers

    keras.utils.clear_session()
    model = network(seed)
    optimizer = BatchGD(RATE, momentum=0.9, clipping=make_clippers(clipping) or None)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])
    monitor = GradientMonitor(layers=True)
    history = model.fit(x, y, batch_size=32, epochs=EPOCHS, verbose=0, callbacks=[monitor]).history
    test_loss, accuracy = model.evaluate(*test, verbose=0)
    norms = {name.partition("/")[2]: values[0] for name, values in history.items() if name.startswith("gradient_norm/")}
    return {
        "epochs": len(history["loss"]),
        "test_accuracy": accuracy,
        "test_loss": test_loss,
        "clipped_share": history["clipped_share"][-1],
        "skipped_updates": history["skipped_updates"][-1],
        "exploding_layers_at_first": history["exploding_layers"][0],
        "largest_norm_of_a_layer_at_first": max(norms.values()),
    }


def middle(rows):
    """Medians over the seeds; NaN is told as it is."""
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


def main():
    from sklearn.datasets import load_digits

    digits = load_digits()
    x, y = (digits.data / 16).astype("float32"), digits.target
    order = np.random.default_rng(0).permutation(len(x))
    train, test = order[360:], order[:360]
    results = {}
    for clipping in CLIPPINGS:
        rows = [trained(clipping, seed, x[train], y[train], (x[test], y[test])) for seed in range(SEEDS)]
        results[clipping] = {"accuracies": [row["test_accuracy"] for row in rows], **middle(rows)}
        print(clipping, json.dumps(results[clipping]), flush=True)
    settings = {"layers": LAYERS, "units": UNITS, "gain": GAIN, "rate": RATE, "epochs": EPOCHS, "seeds": SEEDS}
    write("exploding", {**settings, "clippings": results})


if __name__ == "__main__":
    main()
