"""The grammar of what is written behind an option, one for all of them.

```text
value   = name [":" pairs]                            cosine:end=0.1,warmup=400     agc:0.02      muon:others=momentum
pairs   = (text | key "=" text) {"," key "=" text}    a first text without a key is that of the name's first parameter
chain   = value {"+" value}                           constant:until=0.5+cosine     centralize+by_global_norm:1.0
item    = chain | whatever an option has around one   momentum@batch_size=32        schedule=linear/cosine:end=0.1
list    = item {"," item}                             adam,muon:size=none,others=momentum,sgd
```

In a name capitals, dashes and underscores do not matter: ByNorm and by-norm are by_norm. A key is a word of small
letters, digits and underscores that begins with a letter. A comma in a list goes on with the
pairs of the value before it if that value has begun any, with a colon, and a key and an equals sign follow the comma;
any other comma begins the next item. So what a comma means depends on the text alone, and not on which names there are:
`schedule=cosine:end=0.1,momentum=0.5/0.9` gives cosine a parameter that it does not have, which is an error. What takes
a list may be given several times: `--space schedule=cosine:end=0.1 --space momentum=0.5/0.9`.
"""

import re

from recipes.errors import CommandError
from recipes.settings import fields
from recipes.settings.fields import REQUIRED
from recipes.settings.nearest import unknown

_KEY = re.compile(r"[a-z][a-z0-9_]*=")
_PLUS = r"\+(?=[A-Za-z])"  # which is none of a number, such as 1e+3
_LAST = re.compile(rf"[|@]|{_PLUS}")  # behind the last of these is the value that a comma may go on with
_BEGUN = re.compile(r"([a-z][a-z0-9_-]*=)?[A-Za-z][A-Za-z0-9_-]*:(?!=)")


def alternatives(text):
    """The values that a slash stands between, a list of str; where there is a |, that does, as in older versions.

    A | has to be quoted in a shell.
    """
    return text.split("|" if "|" in text else "/")


def items(texts, has_alternatives=False):
    """The items of a list.

    Args:
        texts: str, or a sequence of str if the option was given several times.
        has_alternatives: bool, whether an item may have several values, as `alternatives` takes them.

    Returns:
        A list of str without space around them; what is empty is left out.
    """
    found = []
    for text in [texts] if isinstance(texts, str) else texts:
        first = len(found)
        for word in filter(None, map(str.strip, text.split(","))):
            if len(found) > first and _KEY.match(word) and _has_begun_pairs(found[-1], has_alternatives):
                found[-1] += "," + word
            else:
                found.append(word)
    return found


def _has_begun_pairs(item, has_alternatives):
    """Whether the last value of an item has a colon, behind which pairs stand."""
    item = alternatives(item)[-1] if has_alternatives else item
    return bool(_BEGUN.match(_LAST.split(item.partition(":=")[2] or item)[-1]))


def chain(text):
    """`"a:1+b"` as `["a:1", "b"]`; the plus of a number such as 1e+3 is no sign of another value."""
    return re.split(_PLUS, text)


def value(text):
    """`"cosine:end=0.1"` as `("cosine", "end=0.1")`; None for pairs that are not there."""
    name, colon, rest = text.partition(":")
    return name, rest if colon else None


def pairs(name, parameters, text, has_own=True):
    """Read what is written behind the colon.

    Args:
        name: str, before the colon.
        parameters: dict from names to `recipes.settings.fields.Setting`; a first text without a key is of the first.
        text: str, behind the colon; None if there is no colon.
        has_own: bool, whether the first parameter is one of the name's own, and not one that every name has.

    Returns:
        A dict of the values that are given.

    Raises:
        CommandError: a parameter is not known, given twice, out of its range, or needed and not there.
    """
    given = {}
    for position, pair in enumerate([] if text is None else text.split(",")):
        key, equals, written = pair.partition("=")
        if not equals and position == 0:
            key, written = _first_of(name, parameters, has_own), pair
        elif not equals:
            raise CommandError(f"write parameter=value for '{pair}'")
        if key not in parameters:
            raise CommandError(unknown(f"parameter of {name}", key, parameters))
        if key in given:
            raise CommandError(f"{key} is given twice")
        given[key] = parameters[key].checked(key, written)
    _check_all_there(name, parameters, given)
    return given


def _first_of(name, parameters, has_own):
    if not has_own or not parameters:
        there_are = f"there are: {', '.join(parameters)}" if parameters else "nothing goes behind it"
        raise CommandError(f"{name} has no parameter of its own; {there_are}")
    return next(iter(parameters))


def _check_all_there(name, parameters, given):
    for key, parameter in parameters.items():
        if parameter.default is REQUIRED and key not in given:
            raise CommandError(f"write {parameter.range} behind the name, such as {name}:{parameter.example}")


def written(name, parameters):
    """A name with its parameters and their defaults, as it can be written on the command line."""
    values = ",".join(f"{key}={_shown(key, each)}" for key, each in parameters.items() if each.default is not None)
    return f"{name}:{values}" if values else name


def _shown(key, parameter):
    return key.upper() if parameter.default is REQUIRED else fields.written(parameter.default)
