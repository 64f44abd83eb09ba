"""How measurements are compared, and where they are kept, with what they were taken on."""

import datetime
import json
import pathlib
import statistics

from recipes.machine.environment import machine, versions
from recipes.machine.processor import processor_flags

DIRECTORY = pathlib.Path(__file__).parent / "results"
INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")  # that convolutions are faster with


def write(name, result):
    """Write results/NAME.json: the result, the day, the hardware and the versions."""
    here = {**machine(), "instructions": [each for each in INSTRUCTIONS if each in processor_flags()]}
    content = {"date": datetime.date.today().isoformat(), "machine": here, "versions": versions(), **result}
    path = DIRECTORY / f"{name}.json"
    path.write_text(json.dumps(content, indent=2) + "\n")
    print(f"\nWritten to {path.relative_to(DIRECTORY.parent.parent)}")


def read(name):
    """What results/NAME.json has; nothing if it is not there."""
    path = DIRECTORY / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def ratios(seconds, above, below):
    """Minimum, median and maximum over the rounds."""
    each = [a / b for a, b in zip(seconds[above], seconds[below], strict=True)]
    return {"min": min(each), "median": statistics.median(each), "max": max(each)}
