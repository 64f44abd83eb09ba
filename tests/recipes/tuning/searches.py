"""Searches that tests make: a space, what its values are worth, and trials that take no time."""

import math

import keras_tuner

from recipes.tuning import StorageOracle

OPEN = []  # oracles that a fixture closes
SCORE = keras_tuner.Objective("score", "max")


def space():
    hp = keras_tuner.HyperParameters()
    kind = hp.Choice("kind", ["constant", "falling"])
    with hp.conditional_scope("kind", ["falling"]):
        hp.Float("end", 1e-4, 0.1, sampling="log")
    hp.Float("rate", 1e-3, 1.0, sampling="log")
    hp.Int("batch", 32, 128, step=32)
    hp.Boolean("nesterov")
    hp.Fixed("decay", 0.1)
    assert kind == "constant"
    return hp


def oracle_of(storage, n=6, **options):
    OPEN.append(StorageOracle(storage, SCORE, n, **{"hyperparameters": space(), "seed": 5, **options}))
    return OPEN[-1]


def quality(values):
    """Best at a rate of 0.1."""
    return 1.0 - abs(math.log10(values["rate"]) + 1) / 3


def finish(oracle, trial, score=None, status="COMPLETED", message=None):
    if score is None:
        score = quality(trial.hyperparameters.values)
    oracle.update_trial(trial.trial_id, {"score": score})
    trial.status, trial.message = status, message
    oracle.end_trial(trial)


def searched(oracle):
    """All trials, one after the other, as (id, values, score)."""
    while (trial := oracle.create_trial("tuner0")).status == "RUNNING":
        finish(oracle, trial)
    assert trial.status == "STOPPED"
    return [(each.trial_id, each.hyperparameters.values, each.score) for each in oracle.trials.values()]
