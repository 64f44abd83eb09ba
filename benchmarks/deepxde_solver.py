"""One training of DeepXDE on its PyTorch backend, for `benchmarks.equations_deepxde`, in an environment that has it.

It begins with the weights and has the points that it is given, in float64. The initial and boundary values are built in
as in the recipe. The limits of iterations and tolerances are such that none ends it before its seconds are over. Where
a method ends by itself all the same, it is begun anew. An evaluation is a call of the loss; a product of NNCG with the
Hessian counts as one, too.

    python deepxde_solver.py task.npz found.npz
"""

import math
import os
import sys
import time

os.environ["DDE_BACKEND"] = "pytorch"

import deepxde as dde
import numpy as np
import torch

PI, EACH = math.pi, 100  # evaluations between two looks at the weights
ENDLESS = 10**8


def burgers(x, u):
    by_t, by_x = dde.grad.jacobian(u, x, i=0, j=1), dde.grad.jacobian(u, x, i=0, j=0)
    return by_t + u * by_x - 0.01 / PI * dde.grad.hessian(u, x, i=0, j=0)


def helmholtz(x, u):
    source = (1 - PI**2 - 16 * PI**2) * torch.sin(PI * x[:, :1]) * torch.sin(4 * PI * x[:, 1:])
    return dde.grad.hessian(u, x, i=0, j=0) + dde.grad.hessian(u, x, i=1, j=1) + u - source


def allen_cahn(x, u):
    by_t, by_xx = dde.grad.jacobian(u, x, i=0, j=1), dde.grad.hessian(u, x, i=0, j=0)
    return by_t - 0.001 * by_xx - 5 * (u - u**3)


EQUATIONS = {  # residual, and the solution of what the network gives
    "burgers": (burgers, lambda x, n: x[:, 1:] * (1 - x[:, :1] ** 2) * n - torch.sin(PI * x[:, :1])),
    "helmholtz": (helmholtz, lambda x, n: (1 - x[:, :1] ** 2) * (1 - x[:, 1:] ** 2) * n),
    "allen_cahn": (
        allen_cahn,
        lambda x, n: x[:, 1:] * (1 - x[:, :1] ** 2) * n + x[:, :1] ** 2 * torch.cos(PI * x[:, :1]),
    ),
}


class Over(Exception):
    """The seconds are over."""


class Watch:
    """Counts evaluations, keeps the weights of the lowest loss, and ends the training when its seconds are over."""

    def __init__(self, net, seconds):
        self.net, self.seconds, self.start = net, seconds, time.perf_counter()
        self.count, self.lowest, self.best, self.rows, self.kept = 0, math.inf, None, [], []

    def evaluated(self, loss):
        self.count += 1
        if loss < self.lowest:
            self.lowest = loss
            self.best = [each.detach().clone() for each in self.net.parameters()]
        if self.count % EACH == 0:
            self.look()

    def look(self):
        now = time.perf_counter() - self.start
        self.rows.append((now, self.count))
        self.kept.append(self.best)
        if now > self.seconds:
            raise Over


def model_of(task, watch_of):
    residual, built_in = EQUATIONS[str(task["equation"])]
    net = dde.nn.FNN([2, *[int(task["width"])] * int(task["depth"]), 1], "tanh", "Glorot normal")
    weights = [task[f"weight_{i}"] for i in range(2 * len(net.linears))]
    with torch.no_grad():
        for layer, kernel, bias in zip(net.linears, weights[::2], weights[1::2], strict=True):
            layer.weight.copy_(torch.tensor(kernel.T))
            layer.bias.copy_(torch.tensor(bias))
    net.apply_output_transform(built_in)
    box = dde.geometry.Rectangle(task["low"], task["high"])
    data = dde.data.PDE(box, residual, [], num_domain=0, num_boundary=0, anchors=task["points"])
    model = dde.Model(data, net)
    model.watch = watch_of(net)
    return model


def watched(model):
    """Count the evaluations of the loss over all points."""
    evaluate = model.data.losses_train

    def counted(*arguments, **options):
        losses = evaluate(*arguments, **options)
        model.watch.evaluated(float(sum(each.detach() for each in losses)))
        return losses

    model.data.losses_train = counted


def compiled(model, method, **options):
    """Compile, and count the products with the Hessian."""
    model.compile(method, **options)
    if method == "NNCG":
        product = model.opt._hvp

        def counted_product(*arguments):
            model.watch.count += 1
            if time.perf_counter() - model.watch.start > model.watch.seconds:
                model.watch.look()
            return product(*arguments)

        model.opt._hvp = counted_product


def train(task):
    model = model_of(task, lambda net: Watch(net, float(task["seconds"])))
    method, quiet = str(task["method"]), {"verbose": 0, "display_every": ENDLESS}
    dde.optimizers.set_LBFGS_options(maxcor=100, ftol=0, gtol=0, maxiter=ENDLESS, maxfun=ENDLESS, maxls=50)
    dde.optimizers.set_NNCG_options(mu=float(task["damping"]), cgmaxiter=int(task["products"]))
    watched(model)
    try:
        compiled(model, "adam", lr=float(task["rate"]))
        model.train(iterations=int(task["adam"]), **quiet)
        while True:
            compiled(model, method)
            model.train(**({"iterations": ENDLESS} if method == "NNCG" else {}), **quiet)
    except Over:
        pass
    return model


def errors(model, task):
    """The relative error of each of the weights that were kept."""
    grid, reference = torch.tensor(task["grid"]), task["reference"]
    found = []
    for weights in model.watch.kept:
        with torch.no_grad():
            for parameter, value in zip(model.net.parameters(), weights, strict=True):
                parameter.copy_(value)
            solution = model.net(grid).numpy()[:, 0]
        found.append(np.linalg.norm(solution - reference) / np.linalg.norm(reference))
    return found


def main(path, out):
    dde.config.set_default_float("float64")
    dde.config.set_random_seed(0)
    with np.load(path) as file:
        task = dict(file)
    model = train(task)
    seconds, evaluations = zip(*model.watch.rows, strict=True)
    np.savez(out, seconds=seconds, evaluations=evaluations, errors=errors(model, task))


if __name__ == "__main__":
    main(*sys.argv[1:])
