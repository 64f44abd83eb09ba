import functools
import io

import cloudpickle

from recipes.errors import WorldError
from recipes.recipe import Recipe


def dumps(thing):
    """Pickle an object. Classes and functions of a notebook or a script become part of the pickle.

    Raises:
        WorldError: a part of the object cannot be pickled.
    """
    with io.BytesIO() as file:
        try:
            _Pickler(file).dump(thing)
        except Exception as error:
            raise WorldError(
                f"trials are separate processes, and {thing!r} cannot be sent to one: {error}; create the objects that "
                "cannot be sent in `build` or `fit`"
            ) from error
        return file.getvalue()


class _Pickler(cloudpickle.Pickler):
    """cloudpickle's pickler, which can pickle classes of recipes too.

    When cloudpickle loads a class, it first makes an empty class, and then sets its attributes. But the class of a
    recipe is checked when it is made. So it is made as a base class, which is not checked.
    """

    def reducer_override(self, obj):
        reduced = super().reducer_override(obj)
        if reduced is NotImplemented or not (isinstance(obj, type) and issubclass(obj, Recipe)):
            return reduced
        make, (metaclass, *arguments), *rest = reduced
        return make, (functools.partial(_made_as_base, metaclass), *arguments), *rest


def _made_as_base(metaclass, name, bases, namespace):
    return metaclass(name, bases, namespace, is_base=True)
