"""Update rules and clippers in numpy, float64, from the formulas of their papers: what the package is held to."""

import numpy as np


def descend(steps):
    """`reference(w, gradients, rate)` from a generator function of `rate` that turns gradients into changes of `w`."""

    def reference(w, gradients, rate):
        rule, path = steps(rate), []
        next(rule)
        for gradient in gradients:
            w = w + rule.send((np.asarray(gradient, "float64"), w))
            path.append(w)
        return path

    return reference


def gradient_descent(rate):
    change = None
    while True:
        g, _ = yield change
        change = -rate * g


def heavy_ball(momentum, nesterov=False):
    def steps(rate):
        v, change = 0.0, None
        while True:
            g, _ = yield change
            v = momentum * v - rate * g
            change = momentum * v - rate * g if nesterov else v

    return steps


def torch_sgd(momentum, nesterov=False):
    def steps(rate):
        v, change = 0.0, None
        while True:
            g, _ = yield change
            v = momentum * v + g
            change = -rate * (g + momentum * v if nesterov else v)

    return steps


def qhm(momentum, nu):
    def steps(rate):
        v, change = 0.0, None
        while True:
            g, _ = yield change
            v = momentum * v + (1 - momentum) * g
            change = -rate * ((1 - nu) * g + nu * v)

    return steps


def aggmo(momenta):
    def steps(rate):
        velocities, change = [0.0] * len(momenta), None
        while True:
            g, _ = yield change
            velocities = [b * v - g for b, v in zip(momenta, velocities, strict=True)]
            change = rate * sum(velocities) / len(momenta)

    return steps


def normalized(momentum):
    def steps(rate):
        v, change = 0.0, None
        while True:
            g, _ = yield change
            v = momentum * v + (1 - momentum) * g
            change = -rate * v / np.linalg.norm(v)

    return steps


def signum(momentum):
    def steps(rate):
        v, change = 0.0, None
        while True:
            g, _ = yield change
            v = momentum * v + (1 - momentum) * g
            change = -rate * np.sign(v)

    return steps


def optimistic(momentum):
    def steps(rate):
        v, previous, change = 0.0, None, None
        while True:
            g, _ = yield change
            v = momentum * v - rate * (2 * g - (g if previous is None else previous))
            previous, change = g, v

    return steps


def fista(rate):
    """In the form of Beck and Teboulle, with points x and y, and the gradient restart of O'Donoghue and Candès."""
    x, t, change = None, 1.0, None
    while True:
        g, y = yield change
        following = y - rate * g
        x = y if x is None else x
        if np.sum(g * (following - x)) > 0:
            t = 1.0
        t_next = (1 + np.sqrt(1 + 4 * t * t)) / 2
        change = following + (t - 1) / t_next * (following - x) - y
        x, t = following, t_next


def adam(rate, beta_1=0.9, beta_2=0.999, eps=1e-7):
    m, v, t, change = 0.0, 0.0, 0, None
    while True:
        g, _ = yield change
        t += 1
        m, v = beta_1 * m + (1 - beta_1) * g, beta_2 * v + (1 - beta_2) * g * g
        change = -rate * (m / (1 - beta_1**t)) / (np.sqrt(v / (1 - beta_2**t)) + eps)


def orthogonal_momentum(momentum, steps_of_newton=5):
    """Muon on a matrix, by numpy's matrix products."""

    def steps(rate):
        v, change = 0.0, None
        while True:
            g, _ = yield change
            v = momentum * v + g
            x = g + momentum * v
            x = x / np.linalg.norm(x)
            for _ in range(steps_of_newton):
                a = x @ x.T
                x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
            change = -rate * 0.2 * np.sqrt(max(g.shape)) * x

    return steps


def decayed(steps, decay, is_coupled):
    """A rule with weight decay: of the rule that descends, where it is behind a clipper or within `lookahead`."""
    if hasattr(steps, "with_rule"):
        return steps.with_rule(lambda rule: decayed(rule, decay, is_coupled))

    def around(rate):
        rule, shrunk, change = steps(rate), 0.0, None
        next(rule)
        while True:
            g, w = yield change
            if is_coupled:
                change = rule.send((g + decay * w, w))
                continue
            change = rule.send((g, w - shrunk))  # the rule knows nothing of what decay takes
            shrunk = shrunk - rate * decay * w
            change = change - rate * decay * w

    return around


def lookahead(steps, period, part):
    """Around another rule."""

    def around(rate):
        rule, slow, t, change = steps(rate), None, 0, None
        next(rule)
        while True:
            g, w = yield change
            slow = w if slow is None else slow
            fast, t = w + rule.send((g, w)), t + 1
            if t % period == 0:
                slow = slow + part * (fast - slow)
                fast = slow
            change = fast - w

    around.with_rule = lambda make: lookahead(make(steps), period, part)
    return around


def clipped(clip, steps):
    """A rule behind a clipper `clip(g, w, history)`, whose `history` is a list of its own to remember things in."""

    def around(rate):
        rule, history, change = steps(rate), [], None
        next(rule)
        while True:
            g, w = yield change
            change = rule.send((clip(g, w, history), w))

    around.with_rule = lambda make: clipped(clip, make(steps))
    return around


def to_norm(g, bound):
    norm = np.linalg.norm(g)
    return g * min(1.0, bound / norm)


def by_value(limit):
    return lambda g, w, history: np.clip(g, -limit, limit)


def by_norm(limit):
    return lambda g, w, history: to_norm(g, limit)


def by_block_rms(limit):
    return lambda g, w, history: g / max(1.0, np.sqrt(np.mean(g**2)) / limit)


def agc(limit, eps=1e-3):
    """On a matrix (inputs, units)."""

    def clip(g, w, history):
        weights, gradients = np.linalg.norm(w, axis=0), np.linalg.norm(g, axis=0)
        return g * np.minimum(1.0, limit * np.maximum(weights, eps) / gradients)

    return clip


def auto_clip(percentile):
    def clip(g, w, history):
        history.append(np.linalg.norm(g))
        return to_norm(g, np.percentile(history, percentile))

    return clip


def z_clip(threshold, decay, warmup):
    def clip(g, w, history):
        norm = np.linalg.norm(g)
        if len(history) < warmup:
            history.append(norm)
            return g
        if len(history) == warmup:
            history.append((np.mean(history), np.var(history)))
        mean, variance = history[-1]
        deviation = np.sqrt(variance)
        z = (norm - mean) / (deviation + 1e-6)
        bound = mean + threshold * deviation / (z / threshold) if z > threshold else norm
        kept = min(bound, norm)
        mean = decay * mean + (1 - decay) * kept
        history.append((mean, decay * variance + (1 - decay) * (kept - mean) ** 2))
        return to_norm(g, bound)

    return clip


def ada_gc(absolute, relative, decay, warmup):
    def clip(g, w, history):
        if len(history) < warmup:
            g = to_norm(g, absolute)
            history.append(min([np.linalg.norm(g), *history[-1:]]))
            return g
        g = to_norm(g, relative * history[-1])
        history.append(decay * history[-1] + (1 - decay) * np.linalg.norm(g))
        return g

    return clip


def normalize(g, w, history):
    return g / (np.linalg.norm(g) + 1e-8)


def soft(limit):
    return lambda g, w, history: g / (1 + np.linalg.norm(g) / limit)


def centralize(g, w, history):
    """On a matrix (inputs, units)."""
    return g - g.mean(axis=0)
