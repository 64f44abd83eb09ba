import keras
import numpy as np
from keras import ops

from custom_optimizers import arguments
from recipes.gan.average import follow
from recipes.gan.backend import backend_module, check_devices
from recipes.gan.diff_augment import DiffAugment
from recipes.gan.losses import Hinge
from recipes.gan.pixels import as_numbers, as_pixels
from recipes.gan.players import Players
from recipes.gan.spectral_normalization import SpectralNormalization

LOGGED = ("discriminator_loss", "generator_loss", "penalty", "real_output", "fake_output")
AT_ONCE = 256  # images of a batch that is generated
NO_MULTIPLE = (
    "GAN: a batch of `fit` must have a multiple of `discriminator_steps` images, the last one too; leave the rest out"
)


@keras.saving.register_keras_serializable(package="recipes")
class GAN(keras.Model):
    """A generator and a discriminator that are trained against each other, and an average of the generator.

    ```python
    discriminator, `discriminator_steps` times, each time on other real images and other noise:
        power method of all `SpectralNormalization`
        loss.discriminator(D(T(x)), D(T(G(z)))) + penalty(D(T(.)), x, G(z))         # T: augmentation, drawn anew
    generator, on the images that were generated for the last of these steps:
        loss.generator(D(T(x)), D(T(G(z))))                                         # x only if `loss.compares`
        # D has the weights after that step. If `simultaneous`, it has the weights before it: then its outputs are
        # computed once, and with `loss.is_zero_sum` the gradients with respect to images too.
    average, running statistics included:
        half = min(half_life, 0.05 * images)                                        # images seen
        average = G + (average - G) * 0.5 ** (batch / half)
    ```

    `compile` builds both optimizers. The files that Keras writes of the model (`.keras`, weights, checkpoints) hold
    both, the average, the counters and the state of the noise. `fit` takes images as uint8, or as numbers in -1 to 1. A
    batch of `fit` holds the images of all steps of the discriminator.

    Args:
        generator: `keras.Model` from noise `(batch, latent_size)`, and labels `(batch,)` if there are classes, to
            images in -1 to 1.
        discriminator: `keras.Model` from images, and labels, to `(batch, 1)`.
        classes: int, number of classes; with 0 labels are ignored.
        loss: of `recipes.gan.losses`, or an object with the same two methods. It has `compares = True` if the
            generator's loss depends on real images, and `is_zero_sum = True` if it is minus the discriminator's.
        penalty: of `recipes.gan.penalties`, or None.
        augment: `DiffAugment`, or None.
        discriminator_steps: int >= 1, steps of the discriminator for each step of the generator.
        simultaneous: bool, whether the generator's step and the last step of the discriminator start from the same
            weights, as in the theory of games; False: one step after the other. (In the game `min max x y`, descent
            with one step after the other stays within bounds; simultaneous steps move away from the equilibrium.)
        half_life: float >= 0, of the average, in images; with 0 the average is the generator.
        seed: int, of all noise.

    Raises:
        ValueError: an argument is out of its range, the networks do not go together, or the images of a batch cannot
            be shared among `discriminator_steps` evenly (on TensorFlow `tf.errors.InvalidArgumentError` where the size
            of a batch is not known beforehand).
        RuntimeError: the backend is neither TensorFlow nor JAX, or several devices of TensorFlow share a batch.

    References:
        Goodfellow et al., Generative adversarial nets, 2014, arXiv:1406.2661.
        Nowozin, Cseke and Tomioka, f-GAN, 2016, arXiv:1606.00709 (simultaneous steps, algorithm 1).
        Yazıcı et al., The unusual effectiveness of averaging in GAN training, 2019, arXiv:1806.04498.

    Example:

    >>> import keras, numpy as np
    >>> from recipes.gan import GAN
    >>> pixels = [keras.layers.Dense(12, "tanh"), keras.layers.Reshape((2, 2, 3))]
    >>> generator = keras.Sequential([keras.Input((4,)), *pixels])
    >>> discriminator = keras.Sequential([keras.Input((2, 2, 3)), keras.layers.Flatten(), keras.layers.Dense(1)])
    >>> gan = GAN(generator, discriminator)
    >>> gan.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3))
    >>> images = np.zeros((16, 2, 2, 3), "uint8")
    >>> history = gan.fit(images, np.zeros(16), batch_size=8, epochs=2, verbose=0)
    >>> gan.generate(5).shape
    (5, 2, 2, 3)
    """

    def __init__(
        self,
        generator,
        discriminator,
        classes=0,
        loss=None,
        penalty=None,
        augment=None,
        discriminator_steps=1,
        simultaneous=False,
        half_life=50_000.0,
        seed=0,
        **kwargs,
    ):
        self._backend = backend_module()
        check_devices()
        super().__init__(**kwargs)
        self.generator, self.discriminator = generator, discriminator
        self.classes = arguments.count("GAN", "classes", classes, least=0)
        self.adversarial_loss = Hinge() if loss is None else loss
        self._compares = getattr(self.adversarial_loss, "compares", False)
        self._is_zero_sum = getattr(self.adversarial_loss, "is_zero_sum", False)
        self.penalty, self.augment = penalty, DiffAugment() if augment is None else augment
        self.discriminator_steps = arguments.count("GAN", "discriminator_steps", discriminator_steps)
        if simultaneous not in (True, False):
            raise ValueError(f"GAN: `simultaneous` must be True or False. Received: {simultaneous!r}.")
        self.simultaneous = bool(simultaneous)
        self.half_life = arguments.number_in("GAN", "half_life", half_life, least=0)
        self.seed = seed
        self.average = keras.models.clone_model(generator)
        self.average.trainable = False
        self.average.set_weights(generator.get_weights())
        self.noise = keras.random.SeedGenerator(seed)
        self.images_seen, self.steps_made = self._counter("images_seen"), self._counter("steps_made")
        self._trackers = {name: keras.metrics.Mean(name) for name in LOGGED}
        self._check_networks()
        self.built = True

    def _counter(self, name):
        return self.add_weight(shape=(), dtype="int", initializer="zeros", trainable=False, name=name)

    def _check_networks(self):
        for name, network in (("generator", self.generator), ("discriminator", self.discriminator)):
            if len(network.inputs) != (inputs := 2 if self.classes else 1):
                raise ValueError(f"GAN: `{name}` must have {inputs} inputs with classes={self.classes}.")
        made, taken = self.generator.output_shape, self.discriminator.inputs[0].shape
        if tuple(made[1:]) != tuple(taken[1:]):
            raise ValueError(f"GAN: the generator makes {made[1:]}, and the discriminator takes {taken[1:]}.")

    @property
    def latent_size(self):
        """How many numbers of noise an image is generated from."""
        return self.generator.inputs[0].shape[-1]

    def compile(self, generator_optimizer, discriminator_optimizer, **kwargs):
        """Build both optimizers; the other arguments are those of `keras.Model.compile`."""
        super().compile(optimizer=None, **kwargs)
        self.generator_optimizer = keras.optimizers.get(generator_optimizer)
        self.discriminator_optimizer = keras.optimizers.get(discriminator_optimizer)
        self.generator_optimizer.build(self.generator.trainable_variables)
        self.discriminator_optimizer.build(self.discriminator.trainable_variables)
        self.optimizer = Players(self.generator_optimizer, self.discriminator_optimizer)

    @property
    def metrics(self):
        return list(self._trackers.values())

    def train_step(self, *arguments):
        return self._backend.train_step(self, *arguments)

    def step(self, data):
        """Carry out the steps of the discriminator and then one step of the generator.

        Args:
            data: `(images,)` or `(images, labels)`.

        Returns:
            A dict: means of the losses, the penalty and the outputs since the metrics were reset.
        """
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        x, y = as_numbers(x), None if y is None else ops.cast(ops.reshape(y, (-1,)), "int32")
        count = self._images_of_a_step(x)
        for step in range(self.discriminator_steps):
            part = slice(step * count, (step + 1) * count)
            real, labels = x[part], y[part] if self.classes else None
            if step + 1 < self.discriminator_steps:
                self._train_discriminator(real, self._generated(self.generator, count, labels, training=True), labels)
            else:
                self._train_both(real, labels)
        self._average(ops.shape(x)[0])
        return {name: tracker.result() for name, tracker in self._trackers.items()}

    def _images_of_a_step(self, x):
        """How many images of a batch, which has the images of all steps of the discriminator, belong to one step."""
        count, steps = ops.shape(x)[0], self.discriminator_steps
        if isinstance(count, int) and count % steps:
            raise ValueError(f"{NO_MULTIPLE}. Received: {count} images for {steps} steps.")
        if not isinstance(count, int) and steps > 1:  # in a graph of TensorFlow
            self._backend.check_multiple(count, steps, NO_MULTIPLE)
        return count // steps

    def _train_discriminator(self, real, fake, labels):
        fake = ops.stop_gradient(fake)
        self._go_on_with_the_power_method()

        def loss():
            outputs = self._judged(real, labels), self._judged(fake, labels)
            loss = self.adversarial_loss.discriminator(*outputs)
            penalty = self._penalty(real, fake, labels)
            return loss + penalty, (loss, penalty, *outputs)

        variables = self.discriminator.trainable_variables
        _, found, back = self._backend.pullback(loss, variables=variables)
        self._step_of_the_discriminator(back(), *found)

    def _go_on_with_the_power_method(self):
        for layer in self.discriminator._flatten_layers():
            if isinstance(layer, SpectralNormalization):
                layer.update()

    def _step_of_the_discriminator(self, gradients, loss, penalty, real, fake):
        """Update the discriminator by its gradients, and log its losses and its mean outputs."""
        self.discriminator_optimizer.apply(gradients, self.discriminator.trainable_variables)
        self.steps_made.assign_add(1)
        logged = {"discriminator_loss": loss, "penalty": penalty}
        logged |= {"real_output": ops.mean(real), "fake_output": ops.mean(fake)}
        for name, value in logged.items():
            self._trackers[name].update_state(value)

    def _penalty(self, real, fake, labels):
        """The penalty of this step; 0 in the steps without a penalty."""
        if self.penalty is None:
            return ops.zeros(())

        def taken():
            value = self.penalty(lambda x: self._judged(x, labels), real, fake, seed=self.noise)
            return ops.cast(self.penalty.every * value, "float32")

        if self.penalty.every == 1:
            return taken()
        return self._backend.where_due(ops.equal(self.steps_made % self.penalty.every, 0), taken)

    def _train_both(self, real, labels):
        """The last step of the discriminator and the step of the generator, on the same generated images."""

        def images():
            return self._generated(self.generator, ops.shape(real)[0], labels, training=True), None

        variables = self.generator.trainable_variables
        fake, _, back = self._backend.pullback(images, variables=variables)
        train = self._train_at_once if self.simultaneous else self._train_in_turn
        loss, into_images = train(real, fake, labels)
        self.generator_optimizer.apply(back(into_images), variables)
        self._trackers["generator_loss"].update_state(loss)

    def _train_in_turn(self, real, fake, labels):
        """Train the discriminator. Returns the generator's loss and its gradient with respect to the images."""
        self._train_discriminator(real, fake, labels)

        def loss(fake):
            real_outputs = ops.stop_gradient(self._judged(real, labels)) if self._compares else None
            return self.adversarial_loss.generator(real_outputs, self._judged(fake, labels)), None

        value, _, back = self._backend.pullback(loss, [fake])
        return value, *back()

    def _train_at_once(self, real, fake, labels):
        """As `_train_in_turn`, but with the outputs of the discriminator before it is trained.

        In a zero-sum game the generator's gradient is minus that of the discriminator, so one backward pass is enough.
        """
        self._go_on_with_the_power_method()

        def losses(fake):
            outputs = self._judged(real, labels), self._judged(fake, labels)
            loss = self.adversarial_loss.discriminator(*outputs)
            return (loss, self.adversarial_loss.generator(*outputs)), (loss, *outputs)

        def penalized(fake):
            return self._penalty(real, ops.stop_gradient(fake), labels)

        variables = self.discriminator.trainable_variables
        (penalty, loss), (loss_of_discriminator, *outputs), (back, back_of_generator) = self._backend.pullback_of_two(
            losses, penalized, [fake], variables
        )
        into_images, *into_weights = back()
        into_images = -into_images if self._is_zero_sum else back_of_generator()[0]
        self._step_of_the_discriminator(into_weights, loss_of_discriminator, penalty, *outputs)
        return loss, into_images

    def _generated(self, generator, count, labels, training):
        z = keras.random.normal((count, self.latent_size), seed=self.noise)
        return ops.cast(generator(self._inputs(z, labels), training=training), "float32")

    def _judged(self, images, labels):
        """The discriminator's outputs for augmented images, float32."""
        images = self.augment(images, self.noise)
        return ops.cast(self.discriminator(self._inputs(images, labels), training=True), "float32")

    def _inputs(self, values, labels):
        return [values, labels] if self.classes else values

    def _average(self, batch):
        self.images_seen.assign_add(ops.cast(batch, self.images_seen.dtype))
        follow(self.average, self.generator, batch, self.images_seen, self.half_life)

    def call(self, inputs, training=False):
        """Images of the averaged generator in -1 to 1, for noise, or for noise and labels."""
        return self.average(inputs, training=False)

    def generate(self, count, labels=None, seed=0):
        """Images of the averaged generator.

        Args:
            count: int >= 1.
            labels: ints `(count,)` in 0 to classes - 1; by default each class in turn, if there are classes.
            seed: int, of the noise. The same seed gives the same images, whatever was drawn in training.

        Returns:
            A uint8 array `(count, height, width, channels)`.
        """
        count = arguments.count("generate", "count", count)
        z = np.random.default_rng(seed).normal(size=(count, self.latent_size)).astype("float32")
        if self.classes and labels is None:
            labels = np.arange(count) % self.classes
        found = []
        for start in range(0, count, AT_ONCE):
            part = slice(start, start + AT_ONCE)
            inputs = self._inputs(z[part], None if labels is None else np.asarray(labels)[part].astype("int32"))
            found.append(as_pixels(ops.convert_to_numpy(ops.cast(self(inputs), "float32"))))
        return np.concatenate(found)

    def save_own_variables(self, store):
        for name, variable in self._own_variables().items():
            store[name] = ops.convert_to_numpy(variable)

    def load_own_variables(self, store):
        for name, variable in self._own_variables().items():
            variable.assign(store[name][()])

    def _own_variables(self):
        """The variables in files besides networks and optimizers. Keras leaves out the states of random seeds."""
        return {"images_seen": self.images_seen, "steps_made": self.steps_made, "noise": self.noise.state}

    def get_config(self):
        pieces = {"generator": self.generator, "discriminator": self.discriminator, "loss": self.adversarial_loss}
        pieces |= {"penalty": self.penalty, "augment": self.augment}
        numbers = ("classes", "discriminator_steps", "simultaneous", "half_life", "seed")
        return {
            **{name: keras.saving.serialize_keras_object(piece) for name, piece in pieces.items()},
            **{name: getattr(self, name) for name in numbers},
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        pieces = ("generator", "discriminator", "loss", "penalty", "augment")
        made = {name: keras.saving.deserialize_keras_object(config[name], custom_objects) for name in pieces}
        return cls(**{**config, **made})

    def get_compile_config(self):
        names = ("generator_optimizer", "discriminator_optimizer")
        return {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in names}

    def compile_from_config(self, config):
        self.compile(**{name: keras.saving.deserialize_keras_object(value) for name, value in config.items()})
