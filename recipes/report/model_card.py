"""The model card of a run: a Markdown file with a head that hubs of models read."""

import json

from recipes.report.of_run import words_of_value

LIMITS = """\
One training with one seed: how much others differ is not in here (`train --seeds N` says). The figures are those of the
{part} named above, and of no others; what the model makes of {others} was not looked at."""
OF_IMAGES = {"part": "test images", "others": "images of another kind"}
OF_SAMPLES = {"part": "samples", "others": "other samples"}


def model_card(config, result, environment, sentence, repeat, modules):
    """The card as text.

    Args:
        config: dict, the run's config.json.
        result: dict, its result.json.
        environment: dict, the last start of its environment.json.
        sentence: str, what came of it.
        repeat: str, the command that trains it again.
        modules: list of str, to be imported before the model is loaded.
    """
    data = config["trained_on"]
    head = {
        "library_name": "keras",
        "tags": ["keras-descent", config["recipe"], config.get("variant", "")],
        "datasets": [data["name"]],
    }
    return "\n".join(
        [
            "---",
            *(f"{name}: {json.dumps(value)}" for name, value in head.items()),  # JSON is YAML
            "---",
            "",
            f"# {config['recipe']}: {config.get('variant', 'model')} on {data['name']}",
            "",
            sentence,
            "",
            "## Use",
            "",
            "```python",
            f"import keras, {', '.join(modules)}",
            "",
            'model = keras.saving.load_model("model.keras")',
            "```",
            "",
            "## Training",
            "",
            f"    {repeat}",
            "",
            f"On {words_of_value(environment.get('machine', {}))}; {words_of_value(environment.get('versions', {}))}.",
            "",
            "## Data",
            "",
            *(f"- {name}: {words_of_value(value)}" for name, value in data.items()),
            "",
            "## Results",
            "",
            "| | |",
            "|---|---|",
            *(f"| {name} | {words_of_value(value)} |" for name, value in result.items() if name != "of"),
            "",
            "## Limits",
            "",
            LIMITS.format(**(OF_IMAGES if "test" in data else OF_SAMPLES)),
            "",
        ]
    )
