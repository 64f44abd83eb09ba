class Piece:
    """A part of a GAN that is not a layer: Keras writes down its `arguments` and makes it of them again."""

    arguments = ()  # names of those of the constructor, which are attributes too

    def get_config(self):
        return {name: getattr(self, name) for name in self.arguments}

    @classmethod
    def from_config(cls, config):
        return cls(**config)
