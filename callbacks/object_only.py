import functools


def object_only(cls):
    """A class of callbacks that says in one line that `fit` takes an object of it, where the class itself is given.

    Keras calls `set_model` of all that it is given first, which of a class lacks its model then.
    """
    set_model = cls.set_model

    @functools.wraps(set_model)
    def checked(self, model=None):
        if model is None:
            raise TypeError(
                f"{cls.__name__}: write {cls.__name__}(), with parentheses; `callbacks` takes objects, and not classes."
            )
        set_model(self, model)

    cls.set_model = checked
    return cls
