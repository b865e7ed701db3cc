"""The formulas once more, written independently of `mag`: naive loops over batch, time, agents and variables.

`xp` is NumPy, with modules from `small.float64`, or `jax.numpy`, when a test wants the gradient.
"""

import math

import jax
import numpy as np


def stop(xp, x):
    return x if xp is np else jax.lax.stop_gradient(x)


def relu(xp, x):
    return xp.where(x > 0, x, 0.0)


def elu(xp, x):
    return xp.where(x > 0, x, xp.exp(xp.where(x > 0, 0.0, x)) - 1)


def sigmoid(xp, x):
    return 1 / (1 + xp.exp(-x))


def softmax(xp, x):
    weights = xp.exp(x - stop(xp, x.max()))
    return weights / weights.sum()


def log_softmax(xp, x):
    return x - x.max() - xp.log(xp.exp(x - x.max()).sum())


def linear(layer, x):
    return x @ layer.weight + layer.bias


def mlp(xp, net, x, activation):
    *others, last = net.layers
    for layer in others:
        x = activation(xp, linear(layer, x))
    return linear(last, x)


def concat_linear(xp, layer, x):
    """A layer stored in two parts, on the concatenated input."""
    return x @ xp.concatenate([layer.left, layer.right]) + layer.bias


def feature_mlp(xp, net, features, activation):
    return mlp(xp, net.rest, activation(xp, concat_linear(xp, net.first, features)), activation)


def gru(xp, cell, x, h):
    """Torch's documentation of `GRUCell`, gates in its order r, z, n."""
    size = len(h)
    w_x, b_x, w_h, b_h = cell.inputs.weight, cell.inputs.bias, cell.hidden.weight, cell.hidden.bias
    r, z, n = (slice(i * size, (i + 1) * size) for i in range(3))
    reset = sigmoid(xp, x @ w_x[:, r] + b_x[r] + h @ w_h[:, r] + b_h[r])
    update = sigmoid(xp, x @ w_x[:, z] + b_x[z] + h @ w_h[:, z] + b_h[z])
    new = xp.tanh(x @ w_x[:, n] + b_x[n] + reset * (h @ w_h[:, n] + b_h[n]))
    return (1 - update) * new + update * h


def layer_norm(xp, norm, x):
    mean = x.sum() / len(x)
    variance = ((x - mean) ** 2).sum() / len(x)
    return (x - mean) / xp.sqrt(variance + 1e-5) * norm.scale + norm.bias


def transformer_layer(xp, layer, xs, heads):
    """Post-norm encoder layer over a list of agents' vectors, one head of one agent at a time."""
    size = len(xs[0])
    width = size // heads
    qs, ks, vs = zip(*(xp.split(linear(layer.qkv, x), 3) for x in xs), strict=True)
    result = []
    for x, q in zip(xs, qs, strict=True):
        mixed = []
        for h in range(heads):
            part = slice(h * width, (h + 1) * width)
            scores = xp.stack([(q[part] * k[part]).sum() / math.sqrt(width) for k in ks])
            weights = softmax(xp, scores)
            mixed.append(sum(weights[j] * v[part] for j, v in enumerate(vs)))
        x = layer_norm(xp, layer.norm_attention, x + linear(layer.out, xp.concatenate(mixed)))
        y = mlp(xp, layer.feed_forward, x, relu)
        result.append(layer_norm(xp, layer.norm_feed_forward, x + y))
    return result


def agent_code(agent, size):
    code = []
    for j in range(size):
        angle = agent / 10000 ** (2 * (j // 2) / size)
        code.append(math.sin(angle) if j % 2 == 0 else math.cos(angle))
    return np.array(code)


def attention(xp, net, xs, heads):
    xs = [x + agent_code(i, len(x)) for i, x in enumerate(xs)]
    for layer in net.layers:
        xs = transformer_layer(xp, layer, xs, heads)
    return xs


def smooth_l1(xp, x, threshold=1.0):
    return xp.where(abs(x) < threshold, x * x / 2, threshold * abs(x) - threshold * threshold / 2)


def nll(xp, logit, target):
    p = sigmoid(xp, logit)
    return -(target * xp.log(p) + (1 - target) * xp.log(1 - p))


def kl(xp, p_logits, q_logits):
    """KL of one categorical variable."""
    p, q = log_softmax(xp, p_logits), log_softmax(xp, q_logits)
    return sum(xp.exp(p[k]) * (p[k] - q[k]) for k in range(len(p)))


def sequence_errors(xp, models, sequence, classes):
    """The errors `{name: [time][agent]}` of one sequence whose posterior draws were `classes`.

    Also the posterior and prior logits and the memory, `[time][agent]`; draws are straight-through.
    """
    config, balance = models.config, models.config.kl_balance
    variables, values = models.networks.categoricals, models.networks.classes
    time, agents, n_actions = len(sequence.first), models.spec.n_agents, models.spec.n_actions
    eye, actions = np.eye(values), np.eye(n_actions)
    deter = [xp.zeros(models.networks.deterministic)] * agents
    stoch = [xp.zeros(variables * values)] * agents
    names = ("reconstruction", "reward", "continuation", "available_actions", "action_information", "kl", "life")
    errors = {name: [] for name in names}
    memory, posteriors, priors = [], [], []
    for t in range(time):
        if t == 0 or sequence.first[t]:
            deter = [0 * d for d in deter]
            stoch = [0 * s for s in stoch]
        inputs = []
        for i in range(agents):
            action = int(sequence.previous_action[t, i])
            one_hot = actions[action] if action >= 0 else np.zeros(n_actions)
            x = concat_linear(xp, models.recurrent_input, xp.concatenate([stoch[i], one_hot]))
            inputs.append(relu(xp, x))
        inputs = attention(xp, models.attention, inputs, models.networks.heads)
        before = stoch
        deter = [gru(xp, models.recurrence, inputs[i], deter[i]) for i in range(agents)]
        stoch, posterior, prior = [], [], []
        for i in range(agents):
            embedding = mlp(xp, models.encoder, sequence.obs[t, i], relu)
            hidden = relu(xp, concat_linear(xp, models.posterior_input, xp.concatenate([deter[i], embedding])))
            posterior.append(linear(models.posterior_output, hidden).reshape(variables, values))
            prior.append(mlp(xp, models.prior, deter[i], relu).reshape(variables, values))
            drawn = []
            for c in range(variables):
                p = softmax(xp, posterior[i][c])
                drawn.append(eye[int(classes[t, i, c])] + p - stop(xp, p))
            stoch.append(xp.concatenate(drawn))
        for name in names:
            errors[name].append([])
        for i in range(agents):
            features, arriving = xp.concatenate([stoch[i], deter[i]]), xp.concatenate([before[i], deter[i]])
            hidden = relu(xp, feature_mlp(xp, models.decoder, features, relu))
            obs = linear(models.decoder_output, hidden)
            information = relu(xp, mlp(xp, models.action_features, hidden, elu))
            information = linear(models.action_output, information)
            avail = feature_mlp(xp, models.available_head, features, elu)
            reward = feature_mlp(xp, models.reward, arriving, elu)[0]
            goes_on = feature_mlp(xp, models.continuation, arriving, elu)[0]
            pairs = list(zip(posterior[i], prior[i], strict=True))
            terms = {
                "reconstruction": sum(smooth_l1(xp, obs[f] - sequence.obs[t, i, f]) for f in range(len(obs))),
                "reward": smooth_l1(xp, reward - config.reward_scale * sequence.reward[t], config.reward_threshold),
                "continuation": nll(xp, goes_on, sequence.continues[t]),
                "available_actions": sum(nll(xp, avail[a], float(sequence.avail[t, i, a])) for a in range(n_actions)),
                "action_information": -log_softmax(xp, information)[int(sequence.previous_action[t, i])],
                "kl": sum((1 - balance) * kl(xp, p, stop(xp, q)) + balance * kl(xp, stop(xp, p), q) for p, q in pairs)
                / variables,
                "life": 0.0,  # nobody's is predicted without joint events
            }
            for name, value in terms.items():
                errors[name][t].append(value)
        memory.append(deter)
        posteriors.append(posterior)
        priors.append(prior)
    return errors, memory, posteriors, priors


def known(sequence):
    """Times whose arriving transition lies inside the sequence."""
    return [t for t in range(1, len(sequence.first)) if not sequence.first[t]]


def loss_of(terms, config):
    """The loss of the terms of `loss_terms`; `config` are the models' options."""
    weights = {
        "reconstruction": config.reconstruction_weight,
        "reward": config.reward_weight,
        "kl": config.kl_weight,
    }
    return sum(weights.get(name, 1.0) * value for name, value in terms.items())


def loss_terms(xp, models, batch, classes):
    """The mean of each error over a batch, `batch` a list of sequences."""
    sums, counts = {}, {}
    for sequence, drawn in zip(batch, classes, strict=True):
        errors = sequence_errors(xp, models, sequence, drawn)[0]
        for name, rows in errors.items():
            inside = name in ("reward", "continuation", "action_information", "kl")
            for t in known(sequence) if inside else range(len(rows)):
                for value in rows[t]:
                    sums[name] = sums.get(name, 0) + value
                    counts[name] = counts.get(name, 0) + 1
    return {name: sums[name] / counts[name] for name in sums}
