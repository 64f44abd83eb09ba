from custom_optimizers.directions.direction import Direction
from custom_optimizers.directions.lbfgs import LBFGSDirection
from custom_optimizers.directions.steepest import Steepest

__all__ = ["Direction", "LBFGSDirection", "Steepest"]
