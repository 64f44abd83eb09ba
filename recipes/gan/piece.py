class Piece:
    """A part of a GAN that is not a layer. Keras saves the `arguments` of its constructor, and loads it from them."""

    arguments = ()  # names of arguments of the constructor; each is an attribute too

    def get_config(self):
        return {name: getattr(self, name) for name in self.arguments}

    @classmethod
    def from_config(cls, config):
        return cls(**config)
