"""JSON as it is written to files and to the standard output."""

import json
import math


def text_of(content):
    """Content as JSON, with null for numbers that JSON does not have; bytes of paths that are no text are escaped."""
    text = json.dumps(finite(content), indent=2, allow_nan=False, ensure_ascii=False)
    return text.encode(errors="backslashreplace").decode()


def finite(content):
    """The same with None for numbers that JSON does not have: NaN and infinities."""
    if isinstance(content, dict):
        return {name: finite(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
