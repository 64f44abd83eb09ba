from custom_optimizers.line_search.ad_gd import AdGD
from custom_optimizers.line_search.armijo import Armijo
from custom_optimizers.line_search.barzilai_borwein import BarzilaiBorwein
from custom_optimizers.line_search.cdat import CDAT
from custom_optimizers.line_search.hager_zhang import HagerZhang
from custom_optimizers.line_search.line_search import LineSearch
from custom_optimizers.line_search.nonmonotone_armijo import NonmonotoneArmijo
from custom_optimizers.line_search.polyak import Polyak
from custom_optimizers.line_search.step_size import StepSize
from custom_optimizers.line_search.strong_wolfe import StrongWolfe

__all__ = [
    "CDAT",
    "AdGD",
    "Armijo",
    "BarzilaiBorwein",
    "HagerZhang",
    "LineSearch",
    "NonmonotoneArmijo",
    "Polyak",
    "StepSize",
    "StrongWolfe",
]
