"""How a class declares its settings, fields of a dataclass made by functions of `recipes.settings`, and its methods."""

import dataclasses
import difflib
import inspect

from recipes.settings.fields import Setting

NEARLY = 0.85  # how much of two names is alike, at least, for one to be a misspelt other


def declare_settings(cls, taken):
    """Make what a class has written as settings fields of a dataclass.

    Args:
        cls: class, before it is made a dataclass. What of it is a `Setting` is a field; what has the name of a setting
            that it inherits is another default for that.
        taken: names that no setting can have.

    Raises:
        TypeError: a name cannot be a setting's, or a base that is no dataclass has settings.
    """
    inherited = _inherited_settings(cls)
    annotated, own = dict(inspect.get_annotations(cls)), {}
    for name, value in list(vars(cls).items()):
        if isinstance(value, Setting):
            _check_name(cls, name, inherited, taken)
            own[name] = value
        elif name in inherited:  # another default for it
            own[name] = dataclasses.replace(inherited[name], default=value)
        else:
            _check_default(cls, name, value, inherited)
    # of several bases a dataclass would take the defaults of the last one, and Python those of the first
    several = sum(map(dataclasses.is_dataclass, cls.__bases__)) > 1
    for name, setting in {**(inherited if several else {}), **own}.items():
        annotated[name] = setting.type
        setattr(cls, name, dataclasses.field(default=setting.default, metadata={"setting": setting}))
    cls.__annotations__, cls._own_settings = annotated, own


def _inherited_settings(cls):
    """The settings of the bases, a dict; of two of one name that of the base which comes first for Python."""
    inherited = {}
    for base in cls.__mro__[:0:-1]:
        inherited |= vars(base).get("_own_settings", {})
    for base in cls.__mro__[1:]:
        if not dataclasses.is_dataclass(base) and any(
            isinstance(value, Setting) or name in inherited for name, value in vars(base).items()
        ):
            raise TypeError(
                f"{cls.__name__}: {base.__name__} has settings, so it has to be a Recipe, with is_base=True"
            )
    return inherited


def _check_name(cls, name, inherited, taken):
    if name in taken or (name not in inherited and any(name in vars(base) for base in cls.__mro__[1:])):
        raise TypeError(f"{cls.__name__}: `{name}` is what every recipe or command has already, and can be no setting")


def _check_default(cls, name, value, inherited):
    """Raise a TypeError for a value whose name is nearly that of a setting, and nobody else's."""
    is_plain = value is None or isinstance(value, (int, float, str))
    if not is_plain or name.startswith("_") or any(hasattr(base, name) for base in cls.__bases__):
        return
    if meant := difflib.get_close_matches(name, inherited, n=1, cutoff=NEARLY):
        raise TypeError(f"{cls.__name__}: no setting '{name}'; did you mean {meant[0]}? What is none has another name")


def check_fields(cls):
    """Raise a TypeError for a field of a dataclass that is annotated as settings are, and is none."""
    for field in dataclasses.fields(cls):
        if "setting" not in field.metadata:
            raise TypeError(
                f"{cls.__name__}: make the setting `{field.name}` by `recipes.settings.number` or another of its "
                "functions; what is no setting has no annotation"
            )


def check_arguments(cls):
    """Raise a TypeError for a method that does not take what it is called with.

    Methods that are called with any number of arguments are left to the class that knows how many.
    """
    for name, method in vars(cls).items():
        asked = next((vars(base)[name] for base in cls.__mro__[1:] if name in vars(base)), None)
        if inspect.isfunction(method) and inspect.isfunction(asked) and not _takes_any_number(asked):
            wanted = list(inspect.signature(asked).parameters)
            check_method(cls, name, wanted, wanted if name == "load" else _needed(asked))


def check_method(cls, name, wanted, given=None):
    """Raise a TypeError unless a method of a class takes the arguments that it is called with.

    Args:
        wanted: list of str, the names of all that it may be called with, `self` among them.
        given: those that it is called with; None for all.
    """
    try:
        inspect.signature(getattr(cls, name)).bind(*(wanted if given is None else given))
    except TypeError as error:
        raise TypeError(f"{cls.__name__}.{name} is called with ({', '.join(wanted)}): {error}") from error


def _takes_any_number(method):
    return any(each.kind is each.VAR_POSITIONAL for each in inspect.signature(method).parameters.values())


def _needed(method):
    """The arguments of a method that have no default."""
    found = inspect.signature(method).parameters.values()
    return [each.name for each in found if each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD]
