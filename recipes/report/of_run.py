"""What a report says of a run: what was done, curves, mistakes or samples, result, settings, machine."""

import itertools
import re

from recipes.errors import WorldError, one_line
from recipes.machine.regular_file import open_regular
from recipes.report.curves import MORE_PANELS, PANELS, draw, lines_of, panels
from recipes.report.page import Section, Table, drawn, pixels
from recipes.report.plain_text import plain_text
from recipes.run.run import read_json
from recipes.run.tables import rows_of

LARGEST = 128  # pixels of a mistake's longer side
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
        *_table("Result", _without(read_json(directory / "result.json") or {}, "of")),
        *_table("Settings", _without(config, "trained_on")),
        *_table("Data", config.get("trained_on")),
        *environment(directory),
    ]


def _what(directory, config, rows, repeat, sentence):
    done = "" if sentence is not None else f"Not done: {len(rows)} of {config.get('epochs')} epochs. "
    date = (read_json(directory / "environment.json") or {}).get("starts", [{}])[0].get("date", "")
    texts = [f"{done}{sentence or ''}".strip(), f"Begun {_minute(date)}." if date else ""]
    return Section("What was run", [text for text in texts if text], [repeat])


def _minute(date):
    """An ISO date without its seconds; UTC, as all dates of runs are."""
    return date[:16].replace("T", " ") + " UTC" if date.endswith("+00:00") else date


def _curves(rows):
    if not rows:
        return
    from matplotlib.figure import Figure

    pictures = []
    for panel in panels(rows, (*PANELS, *MORE_PANELS)):
        figure = Figure(figsize=(4.6, 3.2), layout="constrained")
        draw(figure.subplots(), panel, rows)
        words = words_of(panel, rows)
        pictures.append(drawn(figure, words, words))
    if pictures:
        yield Section("Curves", pictures=pictures)


def words_of(panel, rows):
    """A panel in words."""
    lines = [(name, line) for name, line in lines_of(panel, rows).items() if line]
    each = [f"{name} from {line[0][1]:.4g} to {line[-1][1]:.4g}" for name, line in lines]
    passes = lines[0][1][-1][0]
    return f"{panel[0][0].upper()}{panel[0][1:]} over {passes} passes: {'; '.join(each)}"


def _mistakes(directory, config):
    path = directory / "confusion.npz"
    if not path.exists():
        return
    classes = config["trained_on"]["classes"]
    found, images = _confusion(path, len(classes))
    counts = found["counts"]
    text = f"{counts.sum() - counts.trace()} of {counts.sum()} test images are taken for another class."
    yield Section("Confusion matrix", [text], pictures=[_matrix(counts, classes)])
    mistakes = list(_wrong(found, images, classes))
    if mistakes:
        yield Section("Most confident mistakes", pictures=mistakes)


def _confusion(path, classes):
    """What the file says of so many classes, a dict of arrays; images of mistakes, a list of `PIL.Image.Image`."""
    import numpy as np
    from PIL import Image

    try:
        with open_regular(path) as opened, np.load(opened, allow_pickle=False) as file:
            found = {name: file[name] for name in ("counts", "labels", "guesses", "confidences")}
            images = [Image.fromarray(x[..., 0] if x.shape[-1] == 1 else x) for x in file["images"]]
        if found["counts"].shape != (classes, classes):
            raise ValueError(f"counts of the shape {found['counts'].shape} for {classes} classes")
        return found, images
    except Exception as error:  # whatever NumPy and Pillow make of a file that is damaged
        raise WorldError(f"{path} is damaged: {one_line(error)}") from error


@plain_text()
def _matrix(counts, classes):
    from matplotlib.figure import Figure

    size = min(2 + 0.3 * len(classes), 12)
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    places = range(len(classes))
    axes.set(xlabel="predicted class", ylabel="true class", xticks=places, yticks=places, yticklabels=classes)
    axes.set_xticklabels(classes, rotation=90 if max(map(len, classes)) > 2 else 0)
    if len(classes) <= 20:
        for i in places:
            for j in places:
                if counts[i, j]:
                    axes.text(j, i, f"{counts[i, j]}", ha="center", va="center", fontsize=8, color=_ink(shares[i, j]))
    right = "; ".join(f"{name} {share:.0%}" for name, share in zip(classes, shares.diagonal(), strict=True))
    about = "Confusion matrix: numbers of test images, the darker the larger a share of their class."
    return drawn(figure, f"{about} Recall: {right}", about)


def _ink(share):
    return "white" if share > 0.5 else "black"


def _wrong(found, images, classes):
    parts = (found[name] for name in ("labels", "guesses", "confidences"))
    for picture, label, guess, confidence in zip(images, *parts, strict=True):
        picture.thumbnail((LARGEST, LARGEST))
        words = f"{classes[label]} taken for {classes[guess]}, {confidence:.0%}"
        yield pixels(picture, words, words, shape="small")


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
            with open_regular(path) as file, Image.open(file) as image:
                image.load()
                pictures.append(pixels(image, f"Samples after epoch {epoch}", f"After epoch {epoch}", "grid"))
        except Exception as error:  # whatever Pillow makes of a file that is damaged
            raise WorldError(f"{path} is damaged: {one_line(error)}") from error
    yield Section("Samples of the same noise", pictures=pictures)


def _without(values, left_out):
    return {name: value for name, value in values.items() if name != left_out}


def _table(title, values):
    if values:
        rows = [[name, words_of_value(value)] for name, value in values.items()]
        yield Section(title, tables=[Table(["name", "value"], rows)])


def environment(directory):
    """The machines and versions of all starts, one section."""
    starts = (read_json(directory / "environment.json") or {}).get("starts", [])
    if starts:
        tables = [
            Table([f"start {number}", ""], [[name, _of_start(name, each[name])] for name in each if name not in same])
            for number, (each, same) in enumerate(zip(starts, _same_as_before(starts), strict=True), 1)
        ]
        yield Section("Machine and versions", _about_starts(starts), tables=tables)


def _about_starts(starts):
    return ["Of a later start, only what is not as it was at the one before."] if len(starts) > 1 else []


def _same_as_before(starts):
    """Of each start, the names of what is as it was at the one before."""
    return [set(), *({n for n in after if after[n] == before.get(n)} for before, after in itertools.pairwise(starts))]


def _of_start(name, value):
    return _minute(value) if name == "date" else words_of_value(value)


def words_of_value(value):
    """A value of JSON in words."""
    if value in (None, ""):
        return "–"
    if isinstance(value, dict):
        return ", ".join(f"{name} {words_of_value(each)}" for name, each in value.items() if each is not None)
    if isinstance(value, list):
        return " ".join(map(words_of_value, value)) if all(isinstance(each, str) for each in value) else str(value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)
