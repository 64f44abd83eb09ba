import re

# lines of Keras and TensorFlow around the one that says what was wrong
_AROUND = re.compile(
    r"Exception encountered when calling |Could not automatically infer the output shape|Arguments received by |• \w+="
    r"|Graph execution error:|Detected at node |File \"|<stack traces unavailable>|\[\[\]\]"
)
_MARKS = re.compile(r"\{\{[^}]*\}\}|\x1b\[[0-9;]*m")  # TensorFlow's names of nodes, Keras's bold type


class CommandError(Exception):
    """The command line asks for something that cannot be, or that this program does not have. Exit status 2."""


class WorldError(Exception):
    """The command line is right, but the world is not: no such file or run, no room, a bad file. Exit status 1."""


class Diverged(Exception):
    """Training has come to a number that is not finite, before its end. It says which; the run ends as diverged."""


def one_line(error):
    """What an exception says, in one line: the first that tells what was wrong."""
    said = str(error).rpartition("Exception encountered: ")[2] or str(error)  # by which Keras quotes the error behind
    lines = [line.strip() for line in _MARKS.sub("", said).splitlines() if line.strip()]
    telling = (line for line in lines if not _AROUND.match(line))
    return next(telling, lines[0] if lines else type(error).__name__)[:300]


def first_of(texts, most=10):
    """The first of several texts in one line, with a sign that there are more: for an error that names them."""
    return "; ".join([*texts[:most], *(["…"] if len(texts) > most else [])])
