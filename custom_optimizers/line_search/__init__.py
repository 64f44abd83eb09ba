from custom_optimizers.line_search.armijo import Armijo
from custom_optimizers.line_search.hager_zhang import HagerZhang
from custom_optimizers.line_search.line_search import LineSearch
from custom_optimizers.line_search.nonmonotone_armijo import NonmonotoneArmijo
from custom_optimizers.line_search.strong_wolfe import StrongWolfe

__all__ = ["Armijo", "HagerZhang", "LineSearch", "NonmonotoneArmijo", "StrongWolfe"]
