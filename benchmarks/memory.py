"""Peak memory of one update over 50,000 images 32×32×3, beside that of plain training at the same batch size.

Each contender runs in a fresh process of its own, on the same uint8 images and the same CNN of 2 million parameters.

    python -m benchmarks.memory
"""

import json
import os
import resource
import statistics
import subprocess
import sys

from benchmarks.record import write

IMAGES, BATCH, RUNS = 50_000, 500, 3
CONTENDERS = ("Keras SGD, batch 500", "BatchGD, arrays", "BatchGD, full_batches")


def train(contender):
    """One pass over the images; prints the process's peak memory in MiB and the number of updates."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import numpy as np

    from benchmarks.accumulation import network
    from callbacks import FullBatch
    from custom_optimizers import BatchGD
    from recipes.data import full_batches

    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (IMAGES, 32, 32, 3), np.uint8)
    y = rng.integers(0, 10, IMAGES)
    ours = contender.startswith("BatchGD")
    model = network()
    model.compile(
        optimizer=BatchGD(0.01) if ours else keras.optimizers.SGD(0.01),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    data = (
        {"x": full_batches(x, y, BATCH)}
        if contender.endswith("full_batches")
        else {"x": x, "y": y, "batch_size": BATCH}
    )
    model.fit(**data, shuffle=False, verbose=0, callbacks=[FullBatch()] if ours else [])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux
    print(json.dumps({"peak_mib": peak, "updates": int(model.optimizer.iterations.numpy())}))


def run(contender):
    command = [sys.executable, "-m", "benchmarks.memory", contender]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    peaks = {name: [] for name in CONTENDERS}
    for _ in range(RUNS):
        for name in CONTENDERS:
            outcome = run(name)
            assert outcome["updates"] == (1 if name.startswith("BatchGD") else IMAGES // BATCH)
            peaks[name].append(outcome["peak_mib"])
    print(f"\nPeak memory of one pass over {IMAGES:,} images, median of {RUNS} processes")
    medians = {name: statistics.median(each) for name, each in peaks.items()}
    for name, value in medians.items():
        print(f"  {name:24} {value:8.0f} MiB   {value / medians[CONTENDERS[0]]:.3f}")
    write("memory", {"images": IMAGES, "batch": BATCH, "runs": RUNS, "peak_mib": peaks, "median_mib": medians})


if __name__ == "__main__":
    train(sys.argv[1]) if len(sys.argv) > 1 else main()
