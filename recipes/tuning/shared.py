import os
import pickle


class Shared:
    """What all trials of a search have in common. Functions that a fork calls take it as their first argument.

    It is pickled in the process of the search, and unpickled in the server, the process that forks trials. A fork that
    has loaded the data can call `hand_over`, which writes them to a file in memory. Then the server calls `take_over`,
    so that all later forks have the data.

    Args:
        hypermodel: `keras_tuner.HyperModel`.
        place: `Place`.
        arguments, named_arguments: of `search`, for the hypermodel's `fit`.
    """

    def __init__(self, hypermodel, place, arguments=(), named_arguments=None):
        self.hypermodel, self.place = hypermodel, place
        self.arguments, self.named_arguments = arguments, named_arguments or {}
        self._left = None

    def hand_over(self, data):
        """Write data for the server. A fork calls this after it has loaded them."""
        with open(os.dup(self._left), "wb") as file:
            file.seek(0)
            pickle.dump(data, file, protocol=5)

    def take_over(self):
        """Give the hypermodel the data that a fork has handed over. The server calls this."""
        with open(os.dup(self._left), "rb") as file:
            file.seek(0)
            self.hypermodel.data = pickle.load(file)
        os.ftruncate(self._left, 0)

    def __setstate__(self, state):
        """Unpickle it in the server, and open the file in memory, which all forks inherit."""
        self.__dict__ |= state
        self._left = os.memfd_create("keras-descent-data")
