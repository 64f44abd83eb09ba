from custom_optimizers.directions.bfgs import BFGSDirection
from custom_optimizers.directions.conjugate_gradients import ConjugateGradients
from custom_optimizers.directions.dense import DenseDirection
from custom_optimizers.directions.direction import Direction
from custom_optimizers.directions.lbfgs import LBFGSDirection
from custom_optimizers.directions.self_scaled_broyden import SelfScaledBroydenDirection
from custom_optimizers.directions.steepest import Steepest

__all__ = [
    "BFGSDirection",
    "ConjugateGradients",
    "DenseDirection",
    "Direction",
    "LBFGSDirection",
    "SelfScaledBroydenDirection",
    "Steepest",
]
