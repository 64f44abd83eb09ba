"""What a report says of a run: what was done, curves, mistakes or samples, result, settings, machine."""

import re

from recipes.errors import WorldError, one_line
from recipes.report.curves import MORE_PANELS, PANELS, draw, lines_of, panels
from recipes.report.page import Section, Table, drawn, pixels
from recipes.run import read_json
from recipes.tables import rows_of

SAMPLES = 4  # grids of a GAN's samples, at most


def sections_of_run(directory, config, repeat, sentence=None):
    """Sections of the page.

    Args:
        directory: path of the run.
        config: dict, its config.json.
        repeat: str, the command that trains it again.
        sentence: str, what came of it; None for a run that is not done.
    """
    rows = rows_of(directory / "metrics.csv")
    return [
        _what(directory, config, rows, repeat, sentence),
        *_curves(rows),
        *_mistakes(directory, config),
        *_samples(directory),
        *_table("Result", read_json(directory / "result.json")),
        *_table("Settings", {name: value for name, value in config.items() if name != "trained_on"}),
        *_table("Images", config.get("trained_on")),
        *environment(directory),
    ]


def _what(directory, config, rows, repeat, sentence):
    done = "" if sentence is not None else f"Not done: {len(rows)} of {config.get('epochs')} epochs. "
    date = (read_json(directory / "environment.json") or {}).get("starts", [{}])[0].get("date", "")
    texts = [f"{done}{sentence or ''}".strip(), f"Begun {date}." if date else ""]
    return Section("What was run", [text for text in texts if text], [repeat])


def _curves(rows):
    if not rows:
        return
    from matplotlib.figure import Figure

    pictures = []
    for panel in panels(rows, (*PANELS, *MORE_PANELS)):
        figure = Figure(figsize=(4.6, 3.2), layout="constrained")
        draw(figure.subplots(), panel, rows)
        pictures.append(drawn(figure, words_of(panel, rows)))
    if pictures:
        yield Section("Curves", pictures=pictures)


def words_of(panel, rows):
    """A panel in words."""
    lines = [(name, line) for name, line in lines_of(panel, rows).items() if line]
    each = [f"{name} from {line[0][1]:.4g} to {line[-1][1]:.4g}" for name, line in lines]
    passes = lines[0][1][-1][0]
    return f"{panel[0][0].upper()}{panel[0][1:]} over {passes} passes: {'; '.join(each)}"


def _mistakes(directory, config):
    import numpy as np

    path = directory / "confusion.npz"
    if not path.exists():
        return
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in ("counts", "images", "labels", "guesses", "confidences")}
        classes = config["trained_on"]["classes"]
        pictures = [_matrix(found["counts"], classes), *_wrong(found, classes)]
    except Exception as error:  # whatever NumPy makes of a file that is damaged
        raise WorldError(f"{path} is damaged: {one_line(error)}") from error
    wrong = int(found["counts"].sum() - np.trace(found["counts"]))
    text = f"{wrong} of {int(found['counts'].sum())} test images are taken for another class."
    yield Section("What is taken for what", [text], pictures=pictures)


def _matrix(counts, classes):
    from matplotlib.figure import Figure

    size = min(3 + 0.35 * len(classes), 12)
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    places = range(len(classes))
    axes.set(xlabel="taken for", ylabel="class", xticks=places, yticks=places, yticklabels=classes)
    axes.set_xticklabels(classes, rotation=90 if max(map(len, classes)) > 2 else 0)
    if len(classes) <= 20:
        for i in places:
            for j in places:
                if counts[i, j]:
                    axes.text(j, i, f"{counts[i, j]}", ha="center", va="center", fontsize=8, color=_ink(shares[i, j]))
    right = "; ".join(f"{name} {share:.0%}" for name, share in zip(classes, shares.diagonal(), strict=True))
    return drawn(figure, f"Confusion matrix. Taken for what they are: {right}")


def _ink(share):
    return "white" if share > 0.5 else "black"


def _wrong(found, classes):
    from recipes.report.grid import grid

    if len(found["images"]) == 0:
        return
    each = [
        f"{classes[label]} taken for {classes[guess]}, {confidence:.0%}"
        for label, guess, confidence in zip(found["labels"], found["guesses"], found["confidences"], strict=True)
    ]
    words = f"The {len(each)} mistakes that were surest, row by row: {'; '.join(each)}."
    yield pixels(grid(found["images"]), words, words)


def _samples(directory):
    from PIL import Image

    paths = sorted((directory / "samples").glob("epoch-*.png"))
    if not paths:
        return
    chosen = [paths[round(i * (len(paths) - 1) / max(SAMPLES - 1, 1))] for i in range(SAMPLES)]
    pictures = []
    for path in dict.fromkeys(chosen):
        epoch = re.sub(r"\D", "", path.stem).lstrip("0")
        try:
            with Image.open(path) as image:
                image.load()
                pictures.append(pixels(image, f"Samples after epoch {epoch}", f"After epoch {epoch}"))
        except Exception as error:  # whatever Pillow makes of a file that is damaged
            raise WorldError(f"{path} is damaged: {one_line(error)}") from error
    yield Section("Samples of the same noise", pictures=pictures)


def _table(title, values):
    if values:
        rows = [[name, words_of_value(value)] for name, value in values.items()]
        yield Section(title, tables=[Table(["name", "value"], rows)])


def environment(directory):
    """The machines and versions of all starts, one section."""
    starts = (read_json(directory / "environment.json") or {}).get("starts", [])
    if starts:
        names = list(dict.fromkeys(name for start in starts for name in start))
        rows = [[name, *(words_of_value(start.get(name)) for start in starts)] for name in names]
        columns = ["", *(f"start {number}" for number in range(1, len(starts) + 1))]
        yield Section("Machine and versions", tables=[Table(columns, rows)])


def words_of_value(value):
    """A value of JSON in words."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {words_of_value(each)}" for name, each in value.items() if each is not None)
    if isinstance(value, list):
        return " ".join(map(words_of_value, value)) if all(isinstance(each, str) for each in value) else str(value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)
