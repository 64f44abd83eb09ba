"""One of two processes that train with torch's DistributedDataParallel: `python -m tests.backends.ddp PORT RANK OUT`.

Each takes its half of every micro-batch; DDP averages the gradients in `backward`, before the optimizer sees them.
"""

import sys

import numpy as np
import torch
from keras import ops

from custom_optimizers import BatchGD
from custom_optimizers.clipping import ByGlobalNorm
from tests.small import compiled, flat, samples


def optimizer():
    return BatchGD(0.1, momentum=0.9, clipping=ByGlobalNorm(0.5), gradient_accumulation_steps="epoch")


def main(port, rank, out):
    torch.distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=int(rank), world_size=2)
    model = compiled(optimizer)
    x, y = samples(24)
    model(x[:1])
    model.optimizer.build(model.trainable_variables)
    together = torch.nn.parallel.DistributedDataParallel(model)
    for _ in range(3):
        model.optimizer.begin_pass(3)
        for start in range(0, 24, 8):
            rows = slice(start + 4 * int(rank), start + 4 * int(rank) + 4)
            model.zero_grad()
            model.loss(ops.array(y[rows]), together(ops.array(x[rows]), training=True)).backward()
            gradients = [v.value.grad for v in model.trainable_variables]
            with model.optimizer.micro_batch(8.0):
                model.optimizer.apply(gradients, model.trainable_variables)
    if rank == "0":
        np.save(out, flat(model))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
