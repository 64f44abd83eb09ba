"""What a report puts into words: values, times, what a directory holds, and what came of a run."""

from recipes.settings.beside_search import has_line_search
from recipes.settings.fields import written
from recipes.settings.quantities import counted, duration, percent
from recipes.training import contract
from recipes.training.outcomes import DIVERGED

SHARES = "accuracy", "share", "entropy", "confidence", "of_one_view"  # how the names of figures between 0 and 1 end


def value(content):
    """A value of JSON in words."""
    if content in (None, ""):
        return "–"
    if isinstance(content, dict):
        return ", ".join(f"{name} {value(each)}" for name, each in content.items() if each is not None)
    if isinstance(content, list):
        return " ".join(map(value, content)) if all(isinstance(each, str) for each in content) else str(content)
    return f"{content:.6g}" if isinstance(content, float) else written(content)


def figure(name, content):
    """A figure of a result in words: a share in percent, a time in minutes, all else as `value` has it.

    Args:
        name: str, as in result.json: those of shares end in "accuracy", "share", "entropy" or "confidence", and those
            of times in "seconds".
        content: of JSON.
    """
    if isinstance(content, float) and name.endswith(SHARES) and 0 <= content <= 1:
        return percent(content)
    if isinstance(content, int | float) and name.endswith("seconds") and content >= 0:
        return duration(content)
    return value(content)


def minute(date):
    """An ISO date without its seconds; UTC, as all dates of runs are."""
    return date[:16].replace("T", " ") + " UTC" if date.endswith("+00:00") else date


def data_of(found):
    """The name of the data that a directory is about.

    Args:
        found: `recipes.run.Directory`.
    """
    return (found.config.get("trained_on") or {}).get("name") or getattr(found.recipe, "data", "data of its own")


def title_of(found):
    """What was trained, and on what: "cifar10_cnn: groupnorm on digits".

    Args:
        found: `recipes.run.Directory`.
    """
    variant = f": {found.recipe.variant}" if found.recipe.variants else ""
    return f"{found.recipe.name()}{variant} on {data_of(found)}"


def outcome_of(found):
    """What came of a run, in a sentence; None if it is not done.

    Args:
        found: `recipes.run.Directory` of a run or a trial.
    """
    if not found.is_done:
        return None
    if found.result["outcome"] == DIVERGED:
        return f"T{divergence(found.result)[1:]}."
    if found.kind == "trial":
        return "A trial of a search, which has not looked at the test part."
    return contract.summary(found.recipe, found.result)


def advice(recipe):
    """What to do about a training that has diverged."""
    if has_line_search(recipe):
        return "a line search cannot begin there: try another --seed, in another --run-dir"
    clipping = " or give --clipping" if "clipping" in recipe.settings() else ""
    return f"lower the learning rate{clipping}, in another --run-dir"


def divergence(result):
    """How a training has diverged: "training diverged within 40 updates: the loss is not finite".

    Args:
        result: dict, the run's result.
    """
    reason = f": {result['reason']}" if result.get("reason") else ""
    return f"training diverged within {counted(result['updates'], 'update')}{reason}"
