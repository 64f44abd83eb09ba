class Players:
    """Two optimizers in the place of `model.optimizer`, for callbacks that expect one.

    The learning rate and the number of updates are those of the generator's optimizer.

    Args:
        generator, discriminator: built `keras.optimizers.Optimizer`s.
    """

    built = True

    def __init__(self, generator, discriminator):
        self.generator, self.discriminator = generator, discriminator

    @property
    def variables(self):
        return [*self.generator.variables, *self.discriminator.variables]

    @property
    def iterations(self):
        return self.generator.iterations

    @property
    def learning_rate(self):
        return self.generator.learning_rate
