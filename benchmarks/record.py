"""Where measurements are kept, with what they were taken on."""

import datetime
import importlib.metadata
import json
import os
import pathlib
import platform

DIRECTORY = pathlib.Path(__file__).parent / "results"


def write(name, result):
    """Write results/NAME.json: the result, the day, the hardware and the versions."""
    content = {"date": datetime.date.today().isoformat(), "machine": machine(), "versions": versions(), **result}
    path = DIRECTORY / f"{name}.json"
    path.write_text(json.dumps(content, indent=2) + "\n")
    print(f"\nWritten to {path.relative_to(DIRECTORY.parent.parent)}")


def machine():
    """What this machine is: processor, number of its cores, system."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        processor = platform.processor()
    return {"processor": processor, "cores": os.cpu_count(), "system": platform.system()}


def versions():
    names = ("keras", "tensorflow", "numpy")
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in names}}
