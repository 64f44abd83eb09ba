"""JSON text for files and for the standard output."""

import json
import math


def text_of(content):
    """JSON text of dicts and lists. NaN and infinity become null; bytes of paths that are not UTF-8 are escaped."""
    text = json.dumps(finite(content), indent=2, allow_nan=False, ensure_ascii=False)
    return text.encode(errors="backslashreplace").decode()


def finite(content):
    """The same content with None in place of NaN and infinity, which JSON does not have."""
    if isinstance(content, dict):
        return {name: finite(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
