"""One of two processes that train with torch's DistributedDataParallel: `python -m tests.backends.ddp PORT RANK OUT`.

Each takes its half of every micro-batch; DDP averages the gradients in `backward`, before the optimizer sees them. With
one more argument, a name of `tests.backends.searching.SEARCHING`, the optimizer is that one, and is told the mean of
the two losses.
"""

import sys

import numpy as np
import torch
from keras import ops

from custom_optimizers import BatchGD
from custom_optimizers.clipping import ByGlobalNorm
from tests.backends.searching import SEARCHING
from tests.small import compiled, flat, samples

PASSES, EVALUATIONS = 3, 12


def optimizer(name):
    if name == "batch_gd":
        return BatchGD(0.1, momentum=0.9, clipping=ByGlobalNorm(0.5), gradient_accumulation_steps="epoch")
    made = SEARCHING[name]()
    made.accumulate_over_epoch()
    return made


def mean_of_processes(loss):
    total = loss.detach().clone()
    torch.distributed.all_reduce(total)
    return total / 2


def main(port, rank, out, name="batch_gd"):
    torch.distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=int(rank), world_size=2)
    model = compiled(lambda: optimizer(name))
    x, y = samples(24)
    model(x[:1])
    model.optimizer.build(model.trainable_variables)
    together = torch.nn.parallel.DistributedDataParallel(model)
    for _ in range(PASSES if name == "batch_gd" else EVALUATIONS):
        model.optimizer.begin_pass(3)
        for start in range(0, 24, 8):
            rows = slice(start + 4 * int(rank), start + 4 * int(rank) + 4)
            context, _ = model.optimizer.micro_batch_in(model.optimizer, (rows,), lambda is_first: (8.0, 8.0))
            with context:
                model.zero_grad()
                loss = model.loss(ops.array(y[rows]), together(ops.array(x[rows]), training=True))
                loss.backward()
                gradients = [v.value.grad for v in model.trainable_variables]
                if model.optimizer.needs_loss:
                    model.optimizer.tell_loss(mean_of_processes(loss))
                model.optimizer.apply(gradients, model.trainable_variables)
    if rank == "0":
        np.save(out, flat(model))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
