"""The airbench94 network and its training in torch: the reference that a Keras recipe is measured against.

Written from the description of "94% on CIFAR-10 in 3.29 Seconds on a Single GPU" (Keller Jordan, 2024, arXiv
2404.00498), with rates in units of the mean loss. Convolutions compute in bfloat16 with channels last, batch
normalisation keeps float32 statistics, weights and updates are float32.

    whiten: filters of the first layer from 5000 images, frozen
    each epoch: shift every image, mirror all of them in every other epoch, permute
        each batch: forward → cross-entropy with smoothed labels → backward → SGD with Nesterov momentum
            every 5 updates: slow = d·slow + (1 − d)·fast;  fast = slow
    judge: logits of six views of each test image, weighted

`train` trains once and is judged once. The clock covers whitening, training and the judging of six views; neither
reading the images nor the warm-up, in which everything is compiled:

    python -m benchmarks.cifar10_torch train --data-dir DIR --seed 0

`steps` is a process for a benchmark that alternates with it. It says "ready" after two steps; for each line with an
integer k it makes k training steps on one batch of random images and answers with the seconds they took:

    python -m benchmarks.cifar10_torch steps --batch-size 1024

glibc gives the memory of large tensors back at every step and faults it in anew, unless the environment has
MALLOC_MMAP_MAX_=0 and MALLOC_TRIM_THRESHOLD_=4000000000. Whoever compares sets both for everyone or for nobody.
"""

import argparse
import copy
import functools
import itertools
import json
import math
import os
import sys
import time
import typing

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from recipes.errors import CommandError, WorldError
from recipes.machine.environment import machine

EPOCHS, BATCH = 9.9, 1024
RATE, L2 = 1.5, 1.3304e-3
BETA_RATE, BETA_L2 = 96.0, 2.0788e-5  # of the offsets of batch normalisation; rate · L2 is that of the others
MOMENTUM = 0.85
WARM_UP, FIRST, LAST = 0.23, 0.2, 0.07  # share of the updates; factors of the rates at both ends
SMOOTHING = 0.2
BIAS_EPOCHS = 3  # in which the bias of the whitening layer learns
LOOKAHEAD_EVERY, LOOKAHEAD_DECAY = 5, 0.95**5

WIDTHS, CLASSES = (64, 256, 256), 10
LOGIT_SCALE = 1 / 9
WHITENING_IMAGES, WHITENING_EPSILON = 5000, 5e-4
ACTIVATIONS = {
    "gelu": nn.GELU,  # the exact form, by the error function
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "elu": nn.ELU,
    "celu": functools.partial(nn.CELU, 0.3),  # as in cifar10-fast; with alpha 1 it would be ELU
}

SIZE, SHIFT = 32, 2  # pixels
MEAN, DEVIATION = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)  # by channel, of pixels in 0 to 1
JUDGED_AT_ONCE = 1000  # images

WORKER_FACTOR = 0.01  # of the rates, for weights that stay finite however many steps are asked for


# Network


class Network(nn.Module):
    """Images `(n, 3, 32, 32)`, normalised, to float32 logits `(n, 10)`.

    Args:
        widths: three ints, the channels of the three groups.
        activation: str of `ACTIVATIONS`.
    """

    def __init__(self, widths=WIDTHS, activation="gelu"):
        super().__init__()
        activate = ACTIVATIONS[activation]
        self.whitening = nn.Conv2d(3, 24, 2)
        self.whitening.weight.requires_grad_(False)
        nn.init.zeros_(self.whitening.bias)
        channels = (24, *widths)
        groups = [group(inputs, outputs, activate) for inputs, outputs in itertools.pairwise(channels)]
        head = [nn.MaxPool2d(3), nn.Flatten(), nn.Linear(widths[-1], CLASSES, bias=False)]
        self.rest = nn.Sequential(activate(), *groups, *head)
        self.to(memory_format=torch.channels_last)

    def forward(self, x):
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.rest(self.whitening(x))
        return logits.float() * LOGIT_SCALE

    @torch.no_grad()
    def whiten(self, x):
        """Take the filters of the first layer from normalised images `(n, 3, 32, 32)`, float32."""
        self.whitening.weight.copy_(whitening_filters(x))

    def learn_bias(self, learns):
        """Whether the first layer's bias learns. If not, backward ends before that layer."""
        self.whitening.bias.requires_grad_(learns)


def group(inputs, outputs, activate):
    """Halves height and width: `(n, inputs, h, w)` to `(n, outputs, h // 2, w // 2)`."""
    return nn.Sequential(
        convolution(inputs, outputs),
        nn.MaxPool2d(2),  # before the normalisation, which then has a quarter to do
        normalisation(outputs),
        activate(),
        convolution(outputs, outputs),
        normalisation(outputs),
        activate(),
    )


def convolution(inputs, outputs):
    """3×3 without bias. Its first filters pass the input on; those beyond `inputs` are random, uniform ±1/√fan_in."""
    made = nn.Conv2d(inputs, outputs, 3, padding="same", bias=False)
    nn.init.dirac_(made.weight.data[:inputs])
    return made


def normalisation(channels):
    """By batch, with an offset and without a learnt scale."""
    made = nn.BatchNorm2d(channels, eps=1e-12, momentum=0.4)
    made.weight.requires_grad_(False)
    return made


def whitening_filters(x, epsilon=WHITENING_EPSILON):
    """Filters `(24, 3, 2, 2)` whose first 12 outputs over images `(n, 3, h, w)` are uncorrelated, of second moment 1.

    They are v/√(λ + epsilon) of the patches' second moments, by falling λ; the other 12 are their negatives.
    """
    patches = functional.unfold(x, 2).transpose(0, 1).flatten(1)  # (12, n · positions)
    values, vectors = torch.linalg.eigh(patches @ patches.T / patches.shape[1])
    filters = (vectors / (values + epsilon).sqrt()).T.flip(0).reshape(-1, 3, 2, 2)
    return torch.cat([filters, -filters])


# Training


def factor(update, updates):
    """Factor of all rates at one of `updates` updates, counted from 0: from 0.2 to 1, then down to 0.07."""
    top = int(WARM_UP * updates)
    return float(np.interp(update, [0, top, updates], [FIRST, 1.0, LAST]))


def lookahead_decay(update, updates):
    """What the slow weights keep of themselves after `update` of `updates` updates."""
    return LOOKAHEAD_DECAY * (update / updates) ** 3


def optimizer_of(network):
    """SGD with coupled L2 decay in two groups: the offsets of batch normalisation, and everything else that learns."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    betas = [norm.bias for norm in norms]
    apart = {id(parameter) for norm in norms for parameter in norm.parameters()} | {id(network.whitening.weight)}
    others = [parameter for parameter in network.parameters() if id(parameter) not in apart]
    groups = [
        {"params": others, "lr": RATE, "initial_lr": RATE, "weight_decay": L2},
        {"params": betas, "lr": BETA_RATE, "initial_lr": BETA_RATE, "weight_decay": BETA_L2},
    ]
    return torch.optim.SGD(groups, momentum=MOMENTUM, nesterov=True, fused=True)


class Trainer:
    """Makes training steps and judges.

    Args:
        network: `Network`.
        compiled: bool. Through `torch.compile`, or eagerly.
    """

    def __init__(self, network, compiled=False):
        self.network = network
        self.forward = torch.compile(network, dynamic=False) if compiled else network
        self.optimizer = optimizer_of(network)

    def step(self, x, y, rate_factor):
        """Forward, backward, update; the loss before it. Images as in `Network`, labels int64 `(n,)`."""
        for one in self.optimizer.param_groups:
            one["lr"] = rate_factor * one["initial_lr"]
        loss = functional.cross_entropy(self.forward(x), y, label_smoothing=SMOOTHING)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item()

    @torch.no_grad()
    def logits(self, x):
        """Logits of the images themselves, and weighted over their views."""
        self.network.eval()
        weighted = [(weight, self.forward(view)) for weight, view in views(x)]
        return weighted[0][1], sum(weight * each for weight, each in weighted)

    def warm_up(self, batch_size):
        """Do everything twice that training and judging do, and leave the network as it was."""
        before = copy.deepcopy(self.network.state_dict())
        for learns in (True, False):
            self.network.train()
            self.network.learn_bias(learns)
            for _ in range(2):
                self.step(*random_batch(batch_size), WORKER_FACTOR)
        self.logits(random_batch(JUDGED_AT_ONCE)[0])
        self.network.load_state_dict(before)
        self.optimizer = optimizer_of(self.network)


class Lookahead:
    """Slow copies of all float state: weights, offsets, and the running statistics of batch normalisation."""

    def __init__(self, network):
        self.fast = [tensor for tensor in network.state_dict().values() if tensor.is_floating_point()]
        self.slow = [tensor.clone() for tensor in self.fast]

    def update(self, decay):
        """slow = decay·slow + (1 − decay)·fast;  fast = slow"""
        for slow, fast in zip(self.slow, self.fast, strict=True):
            slow.lerp_(fast, 1 - decay)
            fast.copy_(slow)


def fit(trainer, batches, epochs, report=print):
    """Train, with one line for `report` after each epoch.

    Args:
        trainer: `Trainer`, of a whitened network.
        batches: `Augmented`.
        epochs: float; the last one may be cut short.

    Returns:
        The number of updates.
    """
    updates, update = math.ceil(epochs * len(batches)), 0
    lookahead = Lookahead(trainer.network)
    for epoch in range(math.ceil(updates / len(batches))):
        start, losses = time.perf_counter(), []
        trainer.network.train()
        trainer.network.learn_bias(epoch < BIAS_EPOCHS)
        for x, y in itertools.islice(batches.epoch(epoch), updates - update):
            losses.append(trainer.step(x, y, factor(update, updates)))
            update += 1
            if update % LOOKAHEAD_EVERY == 0:
                lookahead.update(lookahead_decay(update, updates))
        seconds, images = time.perf_counter() - start, len(losses) * batches.batch_size
        mean = sum(losses) / len(losses)
        report(f"epoch {epoch + 1}: {seconds:.1f} s, {images / seconds:.0f} images/s, training loss {mean:.4f}")
    lookahead.update(1.0)  # what came after the last regular one is discarded
    return update


# Images


def normalised(x):
    """uint8 `(n, h, w, 3)` to float32 `(n, 3, h, w)`, channels last, of mean 0 and deviation 1 by channel."""
    mean, deviation = (255 * torch.tensor(each) for each in (MEAN, DEVIATION))
    return ((x - mean) / deviation).permute(0, 3, 1, 2)


class Augmented:
    """Training images, shifted and mirrored anew each epoch, in full batches.

    Before the first epoch each image is mirrored with probability 1/2; from then on all are, every other epoch. Shifts
    are uniform in ±2 pixels, the border is a reflection.

    Args:
        x: uint8 array `(n, 32, 32, 3)`.
        y: int array `(n,)`.
        batch_size: int, at most n.
        seed: int, of mirrors, shifts and order.
    """

    def __init__(self, x, y, batch_size, seed):
        self.batch_size = batch_size
        self.generator = torch.Generator().manual_seed(seed)
        mirrored = torch.rand(len(x), generator=self.generator).numpy() < 0.5
        x = np.where(mirrored[:, None, None, None], x[:, :, ::-1], x)
        x = torch.from_numpy(np.pad(x, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)), "reflect"))
        of_image, of_row, of_column, of_channel = x.stride()
        self.windows = x.as_strided(  # (image, shift down, shift right, 32, 32, 3), nothing copied
            (len(x), 2 * SHIFT + 1, 2 * SHIFT + 1, SIZE, SIZE, 3),
            (of_image, of_row, of_column, of_row, of_column, of_channel),
        )
        self.y = torch.from_numpy(np.asarray(y)).long()

    def __len__(self):
        """Batches of an epoch. What does not fill one is left out, each time something else."""
        return len(self.y) // self.batch_size

    def epoch(self, number):
        """The batches of an epoch, counted from 0: images as in `Network`, and labels."""
        down, right = torch.randint(2 * SHIFT + 1, (2, len(self.y)), generator=self.generator)
        order = torch.randperm(len(self.y), generator=self.generator)
        for rows in order.split(self.batch_size)[: len(self)]:
            x = self.windows[rows, down[rows], right[rows]]
            yield normalised(x.flip(2) if number % 2 else x), self.y[rows]


def views(x):
    """What an image is judged by, as `(weight, images)`: itself, moved by a pixel to two corners, and their mirrors."""
    padded = functional.pad(x, (1, 1, 1, 1), mode="reflect")
    shifted = padded[:, :, :-2, :-2], padded[:, :, 2:, 2:]
    for weight, view in ((0.25, x), *((0.125, view) for view in shifted)):
        for each in (view, view.flip(3)):
            yield weight, each.contiguous(memory_format=torch.channels_last)


def judge(trainer, x, y):
    """Accuracy in the test, by the images themselves and by their views.

    Args:
        trainer: `Trainer`.
        x: uint8 array `(n, 32, 32, 3)`.
        y: int array `(n,)`.
    """
    right = np.zeros(2, int)
    for start in range(0, len(x), JUDGED_AT_ONCE):
        rows = slice(start, start + JUDGED_AT_ONCE)
        logits = trainer.logits(normalised(torch.from_numpy(x[rows])))
        right += [int((each.argmax(1).numpy() == y[rows]).sum()) for each in logits]
    return [float(share) for share in right / len(x)]


def random_batch(batch_size):
    """Images of the right shape, and labels, that have nothing in them."""
    x = torch.randn(batch_size, 3, SIZE, SIZE).contiguous(memory_format=torch.channels_last)
    return x, torch.randint(CLASSES, (batch_size,))


# Commands


class Seconds(typing.NamedTuple):
    whitening: float
    training: float
    judging: float


def timed_run(trainer, train, test, *, epochs, batch_size, seed, report=print):
    """Whiten, train and judge under the clock.

    Args:
        trainer: `Trainer`.
        train, test: `(x, y)`, uint8 `(n, 32, 32, 3)` and int `(n,)`.
        epochs, batch_size, seed, report: as in `fit` and `Augmented`.

    Returns:
        `(accuracies, seconds, updates)`: those of `judge`, `Seconds`, an int.
    """
    times = [time.perf_counter()]
    trainer.network.whiten(normalised(torch.from_numpy(train[0][:WHITENING_IMAGES])))
    times.append(time.perf_counter())
    updates = fit(trainer, Augmented(*train, batch_size, seed), epochs, report)
    times.append(time.perf_counter())
    accuracies = judge(trainer, *test)
    times.append(time.perf_counter())
    return accuracies, Seconds(*(after - before for before, after in itertools.pairwise(times))), updates


def load(data_dir, train_images=None, seed=0):
    """All of CIFAR-10, or some training images, the same share of each class: `(train, test)` as in `timed_run`."""
    from recipes.data import tfds_images  # starts Keras, which the worker has no use for
    from recipes.data.split import held_out

    images = tfds_images("cifar10", (SIZE, SIZE, 3), data_dir)
    x, y = images.train
    if train_images is None:
        return images.train, images.test
    if train_images > len(y):
        raise CommandError(f"--train-images: there are {len(y)}; {train_images} were asked for")
    rows = held_out(y, train_images, seed)[1]
    return (x[rows], y[rows]), images.test


def train_once(asked):
    """The command `train`: the line that it ends with, as a dict."""
    train, test = load(asked.data_dir, asked.train_images, asked.seed)
    if asked.batch_size > len(train[1]):
        raise CommandError(f"--batch-size: {asked.batch_size} is more than the {len(train[1])} images to train on")
    torch.manual_seed(asked.seed)
    trainer = Trainer(Network(asked.widths, asked.activation), asked.compiled)
    trainer.warm_up(asked.batch_size)
    about = {name: getattr(asked, name) for name in ("epochs", "batch_size", "seed")}
    accuracies, seconds, updates = timed_run(trainer, train, test, **about, report=functools.partial(print, flush=True))
    return {
        "test_accuracy": accuracies[0],
        "test_accuracy_tta": accuracies[1],
        "seconds": sum(seconds),
        "whitening_seconds": seconds.whitening,
        "training_seconds": seconds.training,
        "tta_seconds": seconds.judging,
        "updates": updates,
        "images_per_second": updates * asked.batch_size / seconds.training,
        **about,
        "train_images": len(train[1]),
        "test_images": len(test[1]),
        "activation": asked.activation,
        "widths": asked.widths,
        "parameters": sum(each.numel() for each in trainer.network.parameters()),
        "compiled": asked.compiled,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "machine": machine(),
    }


class Worker:
    """Training steps on one batch of random images in memory, to be timed beside others.

    Args:
        batch_size: int.
        activation, widths, compiled: of `Network` and `Trainer`.
        bias: bool. Whether the bias of the whitening layer learns, as in the first 3 epochs.
    """

    def __init__(self, batch_size=BATCH, activation="gelu", widths=WIDTHS, compiled=False, bias=False):
        self.x, self.y = random_batch(batch_size)
        self.trainer = Trainer(Network(widths, activation), compiled)
        self.trainer.network.whiten(self.x[:100])
        self.trainer.network.learn_bias(bias)

    def seconds(self, steps):
        """How long `steps` training steps take."""
        start = time.perf_counter()
        for _ in range(steps):
            self.trainer.step(self.x, self.y, WORKER_FACTOR)
        return time.perf_counter() - start


def serve(worker, questions, answer):
    """Say "ready" after two steps, then the seconds of as many steps as each line asks for, until there are no more."""
    worker.seconds(2)
    answer("ready")
    for line in questions:
        if not line.strip().isdecimal():
            raise CommandError(f"a line has to be a number of steps; this one is {line.strip()!r}")
        answer(worker.seconds(int(line)))


def serve_steps(asked):
    """The command `steps`."""
    worker = Worker(asked.batch_size, asked.activation, asked.widths, asked.compiled, asked.bias)
    serve(worker, sys.stdin, functools.partial(print, flush=True))


def parser():
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--activation", choices=ACTIVATIONS, default="gelu")
    shared.add_argument("--batch-size", type=int, default=BATCH)
    shared.add_argument("--widths", type=int, nargs=3, default=WIDTHS, metavar="CHANNELS")
    shared.add_argument("--compiled", action="store_true", help="through torch.compile")
    whole = argparse.ArgumentParser(prog="python -m benchmarks.cifar10_torch", description=__doc__.partition("\n")[0])
    commands = whole.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", parents=[shared], help="train once; one line of JSON at the end")
    train.add_argument("--data-dir", help="of tensorflow-datasets, or a cache of its arrays")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--epochs", type=float, default=EPOCHS)
    train.add_argument("--train-images", type=int, help="by default all")
    steps = commands.add_parser("steps", parents=[shared], help="time as many steps as each line of the input asks for")
    steps.add_argument("--bias", action="store_true", help="the bias of the whitening layer learns")
    return whole


def main(arguments=None):
    asked = parser().parse_args(arguments)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    try:
        if asked.command == "train":
            print(json.dumps(train_once(asked)))
        else:
            serve_steps(asked)
    except (CommandError, WorldError) as error:
        raise SystemExit(f"cifar10_torch: {error}") from error


if __name__ == "__main__":
    main()
