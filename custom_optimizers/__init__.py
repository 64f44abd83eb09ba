"""Optimizers for Keras that are built on the exact gradient of a full batch."""

from custom_optimizers import clipping as clipping  # saved models find their classes
from custom_optimizers import line_search as line_search
from custom_optimizers import schedules as schedules
from custom_optimizers.accelerated_gd import AcceleratedGD
from custom_optimizers.accumulate import Accumulate
from custom_optimizers.aggregated_momentum import AggregatedMomentum
from custom_optimizers.batch_gd import BatchGD
from custom_optimizers.bfgs import BFGS
from custom_optimizers.descent import Descent
from custom_optimizers.lbfgs import LBFGS
from custom_optimizers.lookahead import Lookahead
from custom_optimizers.muon import Muon
from custom_optimizers.nonlinear_cg import NonlinearCG
from custom_optimizers.normalized_gd import NormalizedGD
from custom_optimizers.optimistic_gd import OptimisticGD
from custom_optimizers.quasi_hyperbolic import QuasiHyperbolic
from custom_optimizers.self_scaled_broyden import SelfScaledBroyden
from custom_optimizers.sign_momentum import SignMomentum
from custom_optimizers.switch import Switch

__all__ = [
    "BFGS",
    "LBFGS",
    "AcceleratedGD",
    "Accumulate",
    "AggregatedMomentum",
    "BatchGD",
    "Descent",
    "Lookahead",
    "Muon",
    "NonlinearCG",
    "NormalizedGD",
    "OptimisticGD",
    "QuasiHyperbolic",
    "SelfScaledBroyden",
    "SignMomentum",
    "Switch",
]
