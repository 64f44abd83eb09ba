"""Random numbers of backends whose layers draw from generators of their own alone, which are variables."""

import contextlib


def random_state():
    """State of random numbers that are not the layers' own: there are none."""
    return ()


def set_random_state(state):
    """Let those numbers go on from a state."""


def random_numbers_of(state):
    """Context in which those numbers begin at a state."""
    return contextlib.nullcontext()
