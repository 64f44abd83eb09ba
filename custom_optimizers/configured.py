import keras


class Configured:
    """Base class of plain objects that are what their arguments say, such as clippers and line searches.

    Two of one class with the same arguments are equal. A subclass names the arguments of its `__init__`, which it keeps
    as attributes, in `arguments`.
    """

    arguments = ()  # names of the arguments of `__init__`, which are attributes too

    def get_config(self):
        """The arguments that it was made with, a dict."""
        return {name: getattr(self, name) for name in self.arguments}

    @classmethod
    def from_config(cls, config):
        """An object of the arguments that `get_config` gave."""
        return cls(**config)

    def __eq__(self, other):
        return type(self) is type(other) and self.get_config() == other.get_config()

    def __hash__(self):
        return hash(repr(self))

    def __repr__(self):
        given = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({given})"


def in_config(value):
    """An argument as a config has it: an object such as a line search as a dict, anything else as it is."""
    return keras.saving.serialize_keras_object(value) if isinstance(value, Configured) else value
