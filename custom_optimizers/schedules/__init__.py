"""Learning rates as functions of the number of updates, beside those of `keras.optimizers.schedules`."""

from custom_optimizers.schedules.cosine_restarts import CosineRestarts
from custom_optimizers.schedules.inverse_square_root import InverseSquareRoot
from custom_optimizers.schedules.join import Join
from custom_optimizers.schedules.one_cycle import OneCycle
from custom_optimizers.schedules.rex import REX
from custom_optimizers.schedules.schedule import Schedule
from custom_optimizers.schedules.warmup import Warmup
from custom_optimizers.schedules.warmup_stable_decay import WarmupStableDecay

__all__ = ["REX", "CosineRestarts", "InverseSquareRoot", "Join", "OneCycle", "Schedule", "Warmup", "WarmupStableDecay"]
