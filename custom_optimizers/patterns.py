import re
from numbers import Real


class Patterns:
    """An argument of an optimizer that chooses variables by their paths: regular expressions, each with a value.

    Args:
        owner, argument: str, for messages.
        given: dict from regular expressions to values.

    Attributes:
        of: dict from the index of a variable to the value of the first expression that its path has a match for,
            after `match`.
    """

    def __init__(self, owner, argument, given):
        self.owner, self.argument, self.given = owner, argument, dict(given)
        self.by_index = {}
        for expression in self.given:
            try:
                if not isinstance(expression, str):
                    raise TypeError("it has to be a str, so that a saved model can hold it")
                re.compile(expression)
            except (re.error, TypeError) as error:
                raise ValueError(
                    f"{owner}: `{argument}`: {expression!r} is not a regular expression ({error})."
                ) from error

    @classmethod
    def of_list(cls, owner, argument, given):
        """From a list of expressions, or None; a ValueError for anything else."""
        if given is not None and not isinstance(given, (list, tuple)):
            raise ValueError(
                f"{owner}: `{argument}` must be None or a list of regular expressions. Received: {given!r}"
            )
        return cls(owner, argument, dict.fromkeys(given or ()))

    @classmethod
    def of_dict(cls, owner, argument, given):
        """From a dict with numbers >= 0, or None; a ValueError for anything else."""
        if given is not None and not isinstance(given, dict):
            raise ValueError(
                f"{owner}: `{argument}` must be None or a dict from regular expressions to numbers. Received: {given!r}"
            )
        for expression, value in (given or {}).items():
            is_number = isinstance(value, Real) and not isinstance(value, bool)
            if not is_number or not 0 <= value < float("inf"):
                raise ValueError(
                    f"{owner}: `{argument}` must have finite numbers >= 0. Received: {expression!r}: {value!r}"
                )
        return cls(owner, argument, {expression: float(value) for expression, value in (given or {}).items()})

    def match(self, paths):
        """Look for the expressions in the variables' paths; raise a ValueError if one matches none."""
        for expression in self.given:
            if not any(re.search(expression, path) for path in paths):
                raise ValueError(
                    f"{self.owner}: `{self.argument}`: {expression!r} matches none of the variables {', '.join(paths)}."
                )
        self.by_index = {}
        for index, path in enumerate(paths):
            expression = next((each for each in self.given if re.search(each, path)), None)
            if expression is not None:
                self.by_index[index] = self.given[expression]
