"""Optimizers that go by the loss of all samples, by the names that the processes of tests are given."""

import keras

from custom_optimizers import BFGS, LBFGS, NonlinearCG, SelfScaledBroyden, Switch

SEARCHING = {
    "lbfgs": LBFGS,
    "bfgs": BFGS,
    "self_scaled_broyden": SelfScaledBroyden,
    "nonlinear_cg": NonlinearCG,
    "switch": lambda: Switch(keras.optimizers.Adam(0.01), SelfScaledBroyden(), after=7),
}
