import os
import pickle


class Shared:
    """What all trials of a search have in common; what their processes are given first.

    It is pickled in the process of the search, and unpickled in the one that trials are forks of. A fork that has
    loaded data may `leave` them in a file in memory, from which that process can `adopt` them, so that later forks have
    them too.

    Args:
        hypermodel: `keras_tuner.HyperModel`.
        place: `Place`.
        arguments, named_arguments: of `search`, for the hypermodel's `fit`.
    """

    def __init__(self, hypermodel, place, arguments=(), named_arguments=None):
        self.hypermodel, self.place = hypermodel, place
        self.arguments, self.named_arguments = arguments, named_arguments or {}
        self._left = None

    def leave(self, data):
        """Leave data that a fork has loaded for the process that it is a fork of."""
        with open(os.dup(self._left), "wb") as file:
            file.seek(0)
            pickle.dump(data, file, protocol=5)

    def adopt(self):
        """Give the hypermodel the data that a fork has left."""
        with open(os.dup(self._left), "rb") as file:
            file.seek(0)
            self.hypermodel.data = pickle.load(file)
        os.ftruncate(self._left, 0)

    def __setstate__(self, state):
        """Arrive in the process that forks, and open the file in memory, which all of its forks have too."""
        self.__dict__ |= state
        self._left = os.memfd_create("keras-descent-data")
