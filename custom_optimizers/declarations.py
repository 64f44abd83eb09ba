"""Checks of what a subclass declares, made when the class is: a mistake in it would show much later, or never.

Each is a TypeError of one line that names the class, what is wrong in it, and what to do.
"""

import inspect


def check(cls, base, tuples, flags=(), attributes=()):
    """Raise a TypeError for what a class declares and cannot be.

    Args:
        cls: the class that is being made.
        base: the class of this package that it is a subclass of, such as `Descent`.
        tuples: names of the declarations that are tuples of names.
        flags: names of the declarations that are True or False.
        attributes: names of attributes that instances of `base` have, beside its methods.
    """
    for name in tuples:
        value = inspect.getattr_static(cls, name)
        if not isinstance(value, property):
            names(cls.__name__, name, value)
    for name in flags:
        _check_flag(cls, name)
    _check_methods(cls, base)
    own = _arguments_of(cls, base)
    for argument in own:
        _check_free(cls, base, argument, {*tuples, *flags, *attributes})
    if not isinstance(inspect.getattr_static(cls, "arguments"), property):
        _check_arguments(cls, base, own)


def names(owner, declaration, value):
    """A declaration that is a tuple of names; a TypeError for anything else, such as a str, which is one of letters."""
    if not isinstance(value, (tuple, list)) or not all(isinstance(each, str) for each in value):
        example = f"({value!r},)" if isinstance(value, str) else "('momentum',)"
        raise TypeError(
            f"{owner}: `{declaration}` must be a tuple of names, written like {example}. Received: {value!r}"
        )
    return value


def _check_flag(cls, name):
    value = inspect.getattr_static(cls, name)
    if not isinstance(value, (bool, property)):
        raise TypeError(f"{cls.__name__}: `{name}` must be True or False, or a property. Received: {value!r}")


def _check_methods(cls, base):
    """A method of a base class must not have become a value, such as `decay = 0.9`."""
    for name, value in vars(cls).items():
        if not name.startswith("__") and not _is_code(value) and callable(getattr(super(cls, cls), name, None)):
            raise TypeError(
                f"{cls.__name__}: `{name}` is {value!r} and hides the method `{name}` of {_owner(cls, base, name)}; "
                "call it something else."
            )


def _check_free(cls, base, argument, attributes):
    """An argument is kept as an attribute of its name, which must not hide anything that the base classes have."""
    of_bases = [vars(each)[argument] for each in cls.__mro__[1:] if argument in vars(each)]
    if argument in attributes or any(map(_is_code, of_bases)):
        raise TypeError(
            f"{cls.__name__}: `__init__` cannot have an argument `{argument}`, since its attribute would hide "
            f"`{argument}` of {_owner(cls, base, argument)}; call it something else."
        )


def _check_arguments(cls, base, own):
    """`arguments`, which a saved model is loaded by, has those of `__init__`, and no others."""
    for name in vars(cls).get("arguments", ()):
        if name not in own and name not in _parameters(base):
            raise TypeError(
                f"{cls.__name__}: `arguments` has {name!r}, which `__init__` does not take; a saved model could not be "
                "loaded."
            )
    has_own_config = any({"get_config", "from_config"} & vars(each).keys() for each in _below(cls, base))
    missing = [name for name in own if name not in cls.arguments]
    if missing and not has_own_config:
        raise TypeError(
            f"{cls.__name__}: `__init__` takes {', '.join(missing)}, which `arguments` lacks: a saved model would "
            f"forget it; write arguments = {(*cls.arguments, *missing)!r}."
        )


def _arguments_of(cls, base):
    """The names of the arguments that a class takes, without those of the base class; what a class hands on counts."""
    names = []
    for each in _below(cls, base):
        if "__init__" in vars(each):
            names += _parameters(each)
            if not _hands_on(each):
                break
    return [name for name in dict.fromkeys(names) if name not in _parameters(base)]


def _below(cls, base):
    """The class and its base classes, as far as they are subclasses of `base`."""
    return [each for each in cls.__mro__ if issubclass(each, base) and each is not base]


def _parameters(cls):
    found = list(inspect.signature(cls.__init__).parameters.values())[1:]  # the first is `self`
    return [each.name for each in found if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]


def _hands_on(cls):
    return any(each.kind == each.VAR_KEYWORD for each in inspect.signature(cls.__init__).parameters.values())


def _is_code(value):
    """Whether an attribute of a class is a method or a property."""
    return callable(value) or hasattr(value, "__get__")


def _owner(cls, base, name):
    """The name of the class that a reader knows a method, property or attribute from."""
    owners = [each.__name__ for each in cls.__mro__[1:] if name in vars(each)]
    return base.__name__ if hasattr(base, name) or not owners else owners[0]
