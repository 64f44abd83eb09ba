import hashlib
import typing


class Points(typing.NamedTuple):
    """Points of a domain, at which an equation has to hold: float64 `(n, coordinates)`."""

    name: str  # of the equation
    domain: dict  # from coordinates to pairs of ends
    train: typing.Any
    validation: typing.Any  # others, for searches of settings
    seed: int

    @classmethod
    def halton(cls, name, domain, count, seed, placed):
        """As many points for training and for validation, of one Halton sequence that is scrambled by a seed.

        Args:
            name: str, of the equation.
            domain: dict from the names of coordinates to pairs of numbers, between which they lie.
            count: int >= 1.
            seed: int.
            placed: function from the columns of points that are spread evenly over the domain to where they shall be.
        """
        import numpy as np
        from scipy.stats import qmc

        low, high = zip(*domain.values(), strict=True)
        found = qmc.scale(qmc.Halton(len(domain), rng=seed).random(2 * count), low, high)
        found = np.stack(placed(*found.T), axis=1)
        found = found.astype("float32").astype("float64")  # Keras rounds arrays in `evaluate` to float32
        return cls(name, domain, found[:count], found[count:], seed)

    @property
    def train_size(self):
        """Number of points that are trained on."""
        return len(self.train)

    def about(self):
        """What a run writes down about them."""
        digest = hashlib.sha256(self.train.tobytes() + self.validation.tobytes()).hexdigest()
        return {"name": f"{len(self.train):,} points", "points": len(self.train), "seed": self.seed, "digest": digest}

    def sizes(self):
        """Their numbers, in words."""
        ends = ", ".join(f"{name} in {low:g} to {high:g}" for name, (low, high) in self.domain.items())
        return f"{len(self.train):,} points of {self.name}, {ends}, and as many others for validation"

    def part(self, share):
        """The first of them, `share` of all."""
        n = max(round(share * len(self.train)), 1)
        return self._replace(train=self.train[:n], validation=self.validation[:n])
