from recipes.recipe import Recipe
from recipes.settings import choice, number, optimizer, whole


class Idle(Recipe):
    """A recipe that has settings and trains nothing: for tests of what is done with settings."""

    variant: str = choice("plain", "network", names=("plain", "fast"))
    optimizer: str = optimizer("batch_gd")
    learning_rate: float = number(0.1, "step", above=0)
    momentum: float = number(None, "of the optimizer", least=0, below=1, of_optimizer=True)
    early_stopping: int = whole(None, "epochs without a lower loss")

    epochs = 3
    score = "score"
    variants = {"plain": "slow", "fast": "fast"}
    laid_over = ("smoke", "long")
    presets = {
        "slow": {},
        "fast": {"optimizer": "nesterov", "learning_rate": 0.5, "momentum": 0.6, "epochs": 20},
        "careful": {"learning_rate": 0.01},
        "smoke": {"epochs": 2},
        "long": {"epochs": 100},
    }

    def load(self, data_dir=None, download=False):
        raise NotImplementedError

    def model(self, data):
        raise NotImplementedError

    def batches(self, data):
        raise NotImplementedError

    def judge(self, model, data, run):
        return {"score": 1.0}

    def summary(self, result):
        return f"Score {result['score']}."
