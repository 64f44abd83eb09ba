"""The optimizers and clippers that a command line names, held to their classes."""

import inspect

import keras
import pytest

import custom_optimizers
from custom_optimizers import Accumulate, clipping
from custom_optimizers.clipping import AGC, ByGlobalNorm, Centralize, ZClip
from custom_optimizers.line_search import line_searches
from recipes.errors import CommandError
from recipes.optimization import build_optimizer, make_clippers, make_optimizer
from recipes.settings import optimizers
from recipes.settings.clippers import CLIPPERS
from recipes.settings.line_searches import LINE_SEARCHES, OF_DESCENT, WITHOUT_FIRST_STEP

OPTIMIZERS_THAT_WRAP = {"LossScaleOptimizer", "MultiOptimizer", "Optimizer", "Descent"}
WRITTEN = {name: f"{name}:adam" for name, named in optimizers.OURS.items() if named.wraps}  # what is not a name alone
SEARCHING = ("LBFGS", "BFGS", "SelfScaledBroyden", "NonlinearCG")  # without a learning rate
NAMES = [WRITTEN.get(name, name) for name in (*optimizers.OURS, *optimizers.KERAS)]


def optimizers_of(module):
    found = {n for n, c in vars(module).items() if inspect.isclass(c) and issubclass(c, keras.optimizers.Optimizer)}
    return found - OPTIMIZERS_THAT_WRAP


def make(text, clipping="none", momentum=None, **options):
    return make_optimizer(text, learning_rate=0.5, momentum=momentum, clipping=clipping, **options)


def test_the_tables_hold_every_optimizer():
    """They are written down because Keras is not imported to look a name up."""
    assert {named.cls for named in optimizers.OURS.values()} == optimizers_of(custom_optimizers)
    assert set(optimizers.KERAS.values()) == optimizers_of(keras.optimizers)


@pytest.mark.parametrize("text", NAMES)
def test_every_optimizer_can_be_made(text):
    has_rate = optimizers.parse_optimizer(text).has_rate
    optimizer = make(text, "by_global_norm:2" if has_rate else "none")
    name = text.partition(":")[0]
    expected = optimizers.OURS[name].cls if name in optimizers.OURS else optimizers.KERAS[name]
    assert type(optimizer).__name__ == expected
    assert has_rate == (optimizers.OURS.get(name, optimizers.OURS["batch_gd"]).cls not in SEARCHING)
    if has_rate:
        assert float(optimizer.learning_rate.numpy()) == 0.5
        assert optimizer.global_clipnorm == 2.0 or optimizer.clipping == ByGlobalNorm(2.0)
    assert optimizers.accumulated_steps(text, "auto") == ("epoch" if name in optimizers.OURS else 1)


@pytest.mark.parametrize("name", [*optimizers.OURS, *optimizers.KERAS])
def test_momentum_and_parameters_are_those_of_the_class(name):
    named = optimizers.OURS.get(name)
    cls = getattr(custom_optimizers, named.cls) if named else getattr(keras.optimizers, optimizers.KERAS[name])
    arguments = inspect.signature(cls.__init__).parameters
    chosen = optimizers.Chosen(name)
    assert (chosen.momentum is not None) == ("momentum" in arguments)
    if named:
        optimizer = make(WRITTEN.get(name, name))
        for name, parameter in named.parameters.items():
            assert name in arguments
            if name == "line_search":
                assert arguments[name].default == parameter.default
            elif name not in ("inner", "then") and named.preset is None:
                assert getattr(optimizer, name) == parameter.default


def test_presets_and_parameters():
    assert make("momentum").momentum == 0.9
    assert make("nesterov").nesterov
    assert make("nesterov", momentum=0.5).momentum == 0.5
    assert make("batch_gd").momentum == 0
    assert make("quasi_hyperbolic:0.5").nu == 0.5
    muon = make("muon:others=momentum,nesterov=no,exclude=head/|stem/")
    assert (muon.others, muon.nesterov, muon.exclude) == ("momentum", False, ["head/|stem/"])
    lookahead = make("lookahead:momentum,sync_period=7", "agc:0.1")
    assert (lookahead.sync_period, lookahead.inner.momentum, lookahead.clipping) == (7, 0.9, AGC(0.1))
    assert make("lookahead:sgd", momentum=0.5).inner.momentum == 0.5
    assert make("lookahead:accelerated_gd").inner.gradient_accumulation_steps is None
    assert make("accelerated_gd").gradient_accumulation_steps == "epoch"


@pytest.mark.parametrize(("name", "cls"), line_searches.BY_NAME.items())
def test_a_line_search_by_name(name, cls):
    assert name in LINE_SEARCHES
    assert (name in OF_DESCENT) == cls.is_for_descent
    others = [] if cls.is_for_descent else [(f"lbfgs:line_search={name}", None), ("lbfgs:history=3", name)]
    for text, given in [*others, ("batch_gd", name), (f"batch_gd:line_search={name}", None)]:
        optimizer = make(text, line_search=given)
        assert type(optimizer.line_search) is cls
        assert optimizer.search is not None
        assert getattr(optimizer, "history", None) == (3 if "=3" in text else 10 if "lbfgs" in text else None)
    first = make("batch_gd", line_search=name)
    rate = 0.01 if name in WITHOUT_FIRST_STEP else 0.5  # the step that is tried first
    assert (first.momentum, float(first.learning_rate)) == (0.0, pytest.approx(rate))


@pytest.mark.parametrize("name", sorted(LINE_SEARCHES.keys() - set(OF_DESCENT)))
@pytest.mark.parametrize("text", ["bfgs", "self_scaled_broyden:max_parameters=7", "nonlinear_cg:dai_yuan"])
def test_each_direction_takes_each_search(text, name):
    optimizer = make(text, line_search=name)
    assert type(optimizer.line_search) is line_searches.BY_NAME[name]
    assert getattr(optimizer, "max_parameters", 7) == (7 if "=7" in text else 10_000 if text == "bfgs" else 7)
    assert getattr(optimizer, "beta", "dai_yuan") == "dai_yuan"


def test_conjugate_gradients_have_a_search_that_is_more_exact_than_that_of_others():
    assert make("nonlinear_cg").line_search.curvature == 0.1 < make("lbfgs").line_search.curvature


@pytest.mark.parametrize(
    ("text", "inner", "then", "when"),
    [
        ("switch:adam", "Adam", "LBFGS", (100, None, 0.0)),
        ("switch:nesterov,then=BFGS,after=3", "BatchGD", "BFGS", (3, None, 0.0)),
        ("switch:muon,then=self-scaled-broyden,after=none,patience=5,min_delta=0.1", "Muon", "SelfScaledBroyden", None),
    ],
)
def test_a_switch_from_one_optimizer_to_another(text, inner, then, when):
    optimizer = make(text, "by_global_norm:1")
    assert (type(optimizer.inner).__name__, type(optimizer.then).__name__) == (inner, then)
    assert (optimizer.after, optimizer.patience, optimizer.min_delta) == (when or (None, 5, 0.1))
    assert (float(optimizer.learning_rate), optimizer.clipping) == (0.5, ByGlobalNorm(1.0))


def test_the_table_of_line_searches_holds_every_one():
    """They are written down because Keras is not imported to look a name up."""
    assert LINE_SEARCHES.keys() == line_searches.BY_NAME.keys()
    assert type(make("lbfgs").line_search) is line_searches.BY_NAME["strong_wolfe"]
    assert make("batch_gd").line_search is None


def test_what_a_search_leaves_no_place_for_is_a_mistake_of_the_command():
    """Where a recipe of one's own hands it over, whose settings are not looked at."""
    with pytest.raises(CommandError, match="LBFGS has no `clipping`"):
        make("lbfgs", "by_norm:1")
    with pytest.raises(CommandError, match="has no `momentum`"):
        make("batch_gd", line_search="armijo", momentum=0.9)
    keras.config.set_dtype_policy("mixed_float16")
    with pytest.raises(CommandError, match="--dtype float16 scales the loss"):
        make("lbfgs")


def test_an_optimizer_of_keras_clips_by_itself_where_it_can():
    assert make("sgd", "by_value:0.5").clipvalue == 0.5
    assert type(make("sgd")) is keras.optimizers.SGD
    wrapped = make("sgd", "centralize+by_norm:0.5", momentum=0.9)
    assert type(wrapped) is Accumulate
    assert wrapped.inner.momentum == 0.9
    assert wrapped.clippers[0] == Centralize()
    assert make("sgd", "by_norm:2").clipnorm == 2.0
    for of_ours in ("agc", "by_norm:2+by_value:1"):
        assert make("sgd", of_ours).clippers == make_clippers(of_ours)
    assert optimizers.accumulated_steps("sgd", "auto") == 1  # it goes on making mini-batches


OPTIONS = {
    "weight_decay_mode": "coupled",
    "exclude_from_weight_decay": ["beta$"],
    "learning_rate_multipliers": {"beta$": 64.0},
    "gradient_accumulation_steps": 4,
}


@pytest.mark.parametrize("text", ["nesterov", "sgd", "lookahead:sgd", "lookahead:nesterov", "accumulate:sgd"])
def test_decay_rates_by_path_and_accumulation_reach_the_optimizer(text):
    optimizer = make(text, weight_decay=0.01, **OPTIONS)
    config = optimizer.get_config()
    assert {name: config[name] for name in OPTIONS} == OPTIONS
    assert getattr(optimizer, "inner", optimizer).weight_decay == 0.01


def test_without_options_an_optimizer_of_keras_stays_what_it_is():
    optimizer = make("sgd", weight_decay=0.01, gradient_accumulation_steps=None)
    assert type(optimizer) is keras.optimizers.SGD
    assert optimizer.weight_decay == 0.01


def test_what_the_class_refuses_is_told_as_a_mistake_of_the_command():
    with pytest.raises(CommandError, match="momentum"):
        make("sign_momentum", momentum=1.0)


def test_an_expression_that_matches_no_variable_is_a_mistake_of_the_command():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(make("nesterov", learning_rate_multipliers={"bata$": 2.0}), "mse")
    with pytest.raises(CommandError, match="matches none"):
        build_optimizer(model)


def test_float16_is_trained_with_scaled_losses():
    keras.config.set_dtype_policy("mixed_float16")
    assert isinstance(make("nesterov"), keras.optimizers.LossScaleOptimizer)
    keras.config.set_dtype_policy("mixed_bfloat16")
    assert type(make("nesterov")).__name__ == "BatchGD"


def test_the_table_of_clippers_holds_every_one_with_its_parameters():
    """They are written down because Keras is not imported to look a name up."""
    assert {named.cls for named in CLIPPERS.values()} == set(clipping.__all__) - {"Clipper", "ByFactor"}
    for name, named in CLIPPERS.items():
        assert tuple(named.parameters) == getattr(clipping, named.cls).arguments
        defaults = {key: parameter.default for key, parameter in named.parameters.items()}
        if "limit" in defaults and len(defaults) == 1:
            assert make_clippers(f"{name}:2")[0].limit == 2
        else:
            signature = inspect.signature(getattr(clipping, named.cls).__init__).parameters
            assert {key: signature[key].default for key in defaults} == defaults


def test_clippers_by_name_in_order():
    assert make_clippers("none") == []
    assert make_clippers("by_global_norm:1e+1") == [ByGlobalNorm(10)]
    assert make_clippers("centralize+agc:0.02,exclude=head/|stem/+z_clip:decay=0.9") == [
        Centralize(),
        AGC(0.02, exclude=["head/|stem/"]),
        ZClip(decay=0.9),
    ]
