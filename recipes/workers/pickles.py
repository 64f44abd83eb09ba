import functools
import io

import cloudpickle

from recipes.errors import WorldError
from recipes.recipe import Recipe


def dumps(thing):
    """A pickle, with what is defined in a notebook or script in it.

    Raises:
        WorldError: something cannot be pickled.
    """
    with io.BytesIO() as file:
        try:
            _Pickler(file).dump(thing)
        except Exception as error:
            raise WorldError(
                f"trials are processes of their own, and {thing!r} cannot be sent to one: {error}; make what cannot be "
                "sent in `build` or `fit`"
            ) from error
        return file.getvalue()


class _Pickler(cloudpickle.Pickler):
    """cloudpickle's, for classes of recipes too.

    cloudpickle first makes an empty class, and then gives it what it has. The class of a recipe is checked when it is
    made, so that one is made as a class that is not whole.
    """

    def reducer_override(self, obj):
        reduced = super().reducer_override(obj)
        if reduced is NotImplemented or not (isinstance(obj, type) and issubclass(obj, Recipe)):
            return reduced
        make, (metaclass, *arguments), *rest = reduced
        return make, (functools.partial(_made_as_base, metaclass), *arguments), *rest


def _made_as_base(metaclass, name, bases, namespace):
    return metaclass(name, bases, namespace, is_base=True)
