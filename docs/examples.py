"""For the reference: examples of docstrings, which are sessions of Python, as code."""

import re

import griffe

# from the first line that begins with >>> to the end of the last block that does
SESSION = re.compile(r"^>>> .*?(?=\n\s*\n(?!>>> )|\Z)", re.DOTALL | re.MULTILINE)


class Examples(griffe.Extension):
    """Fences around what begins with `>>>`, which Markdown would take for quotations."""

    def on_object(self, *, obj, **given):
        if obj.docstring is not None and ">>> " in obj.docstring.value:
            text = re.sub(r"^Examples?:\n\n?", "**Example**\n\n", obj.docstring.value, flags=re.MULTILINE)
            obj.docstring.value = SESSION.sub(lambda found: f"```pycon\n{found[0].rstrip()}\n```", text)
