"""Draws tested by their frequencies, formulas by numbers computed by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mag.learning.distributions import (
    LIMIT,
    balanced_kl,
    bernoulli_nll,
    bin_centres,
    entropy,
    kl_categorical,
    log_prob,
    mask_logits,
    sample_categorical,
    smooth_l1,
    straight_through,
    two_hot_kl,
    two_hot_mean,
)

KEY = jax.random.key(0)
NOTHING = -1e10
draw = jax.jit(sample_categorical)


@pytest.mark.parametrize("offset", [0.0, -500.0, 500.0])
def test_sample_categorical_draws_with_the_softmax_frequencies(offset):
    p = np.array([0.1, 0.0, 0.4, 0.2, 0.3])
    logits = np.where(p > 0, np.log(np.maximum(p, 1e-9)), NOTHING).astype(np.float32) + np.float32(offset)
    drawn = draw(KEY, jnp.asarray(np.tile(logits, (20_000, 1))))
    frequency = np.bincount(drawn, minlength=5) / 20_000
    # Standard deviation of a frequency: at most sqrt(0.24 / 20 000) = 0.0035.
    np.testing.assert_allclose(frequency, p, atol=0.014)
    assert frequency[1] == 0


@settings(deadline=None, max_examples=30)
@given(
    possible=st.lists(st.booleans(), min_size=6, max_size=6).filter(any),
    seed=st.integers(0, 2**31 - 1),
    spread=st.sampled_from([0.0, 1.0, 30.0]),
)
def test_a_class_of_probability_zero_is_never_drawn(possible, seed, spread):
    possible = np.array(possible)
    logits = np.where(possible, spread * np.random.default_rng(seed).normal(size=6), NOTHING)
    drawn = draw(jax.random.key(seed), jnp.asarray(np.tile(logits, (1000, 1)), jnp.float32))
    assert possible[np.asarray(drawn)].all()


@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-23], ids=["least", "greatest"])
@pytest.mark.parametrize(
    ("possible", "first", "last"), [([0, 1, 1, 0], 1, 2), ([1, 0, 0, 1], 0, 3), ([0, 0, 1, 0], 2, 2)]
)
def test_the_ends_of_the_uniform_numbers_draw_possible_classes(monkeypatch, uniform, possible, first, last):
    monkeypatch.setattr(jax.random, "uniform", lambda key, shape: jnp.full(shape, uniform, jnp.float32))
    logits = jnp.asarray(np.where(np.array(possible) == 1, 0.3, NOTHING), jnp.float32)
    assert jax.jit(lambda x: sample_categorical(KEY, x))(logits) == (first if uniform == 0 else last)


def test_sample_categorical_is_the_same_with_and_without_jit_and_vmap():
    keys, logits = jax.random.split(KEY, 3), jnp.asarray(np.random.default_rng(0).normal(size=(3, 4)), jnp.float32)
    plain = [sample_categorical(key, row) for key, row in zip(keys, logits, strict=True)]
    assert all(x.dtype == jnp.int32 and x.shape == () for x in plain)
    np.testing.assert_array_equal([draw(key, row) for key, row in zip(keys, logits, strict=True)], plain)
    np.testing.assert_array_equal(jax.jit(jax.vmap(sample_categorical))(keys, logits), plain)


def test_one_class_leaves_no_choice():
    np.testing.assert_array_equal(sample_categorical(KEY, jnp.zeros((3, 1))), [0, 0, 0])


def test_straight_through_draws_and_keeps_the_probabilities():
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3, 5)), jnp.float32)
    both = jax.jit(straight_through)(KEY, logits)
    np.testing.assert_array_equal(both.classes, draw(KEY, logits))
    np.testing.assert_allclose(both.probabilities, jax.nn.softmax(logits), rtol=1e-6)


def test_masked_actions_have_no_probability():
    logits = jnp.array([[0.0, 1.0, 5.0], [0.0, 0.0, 0.0]])
    avail = jnp.array([[True, True, False], [False, False, True]])
    # exp(0) / (exp(0) + exp(1)) = 0.268941.
    expected = [[0.268941, 0.731059, 0.0], [0.0, 0.0, 1.0]]
    np.testing.assert_allclose(jax.nn.softmax(mask_logits(logits, avail)), expected, atol=1e-6)


def test_an_empty_mask_allows_every_action():
    logits = jnp.array([0.5, -1.0, 2.0])
    masked = mask_logits(logits, jnp.zeros(3, bool))
    np.testing.assert_array_equal(masked, logits)
    assert np.isfinite(jax.jit(jax.grad(lambda x: entropy(mask_logits(x, x > 9))))(logits)).all()


def test_an_empty_mask_of_one_agent_leaves_the_others_alone():
    masked = mask_logits(jnp.zeros((2, 3)), jnp.array([[False] * 3, [True, False, True]]))
    np.testing.assert_array_equal(masked > -1, [[True] * 3, [True, False, True]])


def test_log_prob_and_entropy_by_hand():
    logits = jnp.log(jnp.array([[0.5, 0.25, 0.25], [1.0, 1.0, 2.0]]))
    np.testing.assert_allclose(log_prob(logits, jnp.array([1, 2])), np.log([0.25, 0.5]), rtol=1e-6)
    # 0.5 ln 2 + 2 * 0.25 ln 4 = 1.5 ln 2.
    np.testing.assert_allclose(entropy(logits), [1.5 * np.log(2)] * 2, rtol=1e-6)


def test_entropy_of_a_masked_policy_counts_available_actions_only():
    masked = mask_logits(jnp.zeros(4), jnp.array([True, True, False, False]))
    np.testing.assert_allclose(entropy(masked), np.log(2), rtol=1e-6)
    assert np.isfinite(jax.jit(jax.grad(entropy))(masked)).all()


def test_kl_by_hand():
    p, q = jnp.log(jnp.array([0.5, 0.5])), jnp.log(jnp.array([0.25, 0.75]))
    # 0.5 ln(0.5 / 0.25) + 0.5 ln(0.5 / 0.75) = 0.143841; the other way 0.25 ln 0.5 + 0.75 ln 1.5 = 0.130812.
    np.testing.assert_allclose(kl_categorical(p, q), 0.143841, atol=1e-6)
    np.testing.assert_allclose(kl_categorical(q, p), 0.130812, atol=1e-6)


def test_balanced_kl_averages_over_the_categoricals():
    same = jnp.log(jnp.array([0.5, 0.5]))
    posterior, prior = jnp.stack([same, same]), jnp.stack([same, jnp.log(jnp.array([0.25, 0.75]))])
    for balance in (0.0, 0.2, 0.8, 1.0):
        np.testing.assert_allclose(balanced_kl(posterior, prior, balance), 0.143841 / 2, atol=1e-6)


def test_balanced_kl_moves_the_prior_with_the_share_balance():
    rng = np.random.default_rng(0)
    posterior, prior = jnp.asarray(rng.normal(size=(2, 3, 5)), jnp.float32)
    p, q = (np.asarray(jax.nn.softmax(x), np.float64) for x in (posterior, prior))
    # d KL / d prior logits = q - p; d KL / d posterior logits = p (ln p - ln q - KL). Mean over 3 categoricals.
    kl = (p * np.log(p / q)).sum(-1, keepdims=True)
    to_posterior, to_prior = jax.jit(jax.grad(lambda p, q: balanced_kl(p, q, 0.8), (0, 1)))(posterior, prior)
    np.testing.assert_allclose(to_prior, 0.8 * (q - p) / 3, atol=1e-6)
    np.testing.assert_allclose(to_posterior, 0.2 * p * (np.log(p / q) - kl) / 3, atol=1e-6)


def test_bernoulli_nll_by_hand():
    # Logit ln 3 is probability 0.75: -ln 0.75 = 0.287682, -ln 0.25 = 1.386294.
    logits = jnp.full(2, np.log(3), jnp.float32)
    np.testing.assert_allclose(bernoulli_nll(logits, jnp.array([1.0, 0.0])), [0.287682, 1.386294], atol=1e-6)
    far = bernoulli_nll(jnp.array([200.0, -200.0]), jnp.array([0.0, 1.0]))
    np.testing.assert_allclose(far, [200.0, 200.0])


def test_smooth_l1_by_hand():
    difference = jnp.array([0.0, 0.5, -0.5, 1.0, -1.0, 3.0, -3.0])
    np.testing.assert_allclose(smooth_l1(difference), [0, 0.125, 0.125, 0.5, 0.5, 2.5, 2.5])
    np.testing.assert_allclose(smooth_l1(difference, 2.0), [0, 0.125, 0.125, 0.5, 0.5, 4, 4])
    gradient = jax.jit(jax.vmap(jax.grad(smooth_l1)))(difference)
    np.testing.assert_allclose(gradient, [0, 0.5, -0.5, 1, -1, 1, -1])
    unbounded = jax.jit(jax.vmap(jax.grad(lambda x: smooth_l1(x, jnp.inf))))(difference)
    np.testing.assert_allclose(unbounded, difference)


def test_bins_by_hand():
    # Three bins: -(e^3.1 - 1), 0, e^3.1 - 1 = 21.2.
    top = np.expm1(LIMIT)
    np.testing.assert_allclose(bin_centres(3), [-top, 0, top], rtol=1e-6)
    logits = jnp.log(jnp.array([0.2, 0.5, 0.3]))
    np.testing.assert_allclose(two_hot_mean(logits), 0.1 * top, rtol=1e-5)
    # A quarter of the way from 0 to the top: weights of 3/4 and 1/4 where the distribution has 0.5 and 0.3.
    expected = 0.75 * np.log(0.75 / 0.5) + 0.25 * np.log(0.25 / 0.3)
    np.testing.assert_allclose(two_hot_kl(logits, jnp.array(top / 4)), expected, rtol=1e-5)
    # Beyond the bins a number counts as the last of them; a centre is all of its bin's.
    for number, share in ((1e6, 0.3), (-1e6, 0.2), (0.0, 0.5), (top, 0.3)):
        np.testing.assert_allclose(two_hot_kl(logits, jnp.array(number)), -np.log(share), rtol=1e-5)


def test_bins_learn_the_mean_of_a_rare_number():
    targets = jnp.array([0.0] * 19 + [10.0])

    def step(logits, _):
        return logits - 2.0 * jax.grad(lambda x: two_hot_kl(jnp.tile(x, (20, 1)), targets).mean())(logits), None

    logits, _ = jax.jit(lambda: jax.lax.scan(step, jnp.zeros(41), length=5000))()
    np.testing.assert_allclose(two_hot_mean(logits), 0.5, rtol=0.02)


@settings(deadline=None, max_examples=50)
@given(st.floats(-21, 21), st.sampled_from([2, 3, 40, 41, 60]))
def test_the_two_bins_around_a_number_have_it_as_their_mean(number, bins):
    shares = -jax.grad(lambda x: two_hot_kl(x, jnp.float32(number)))(jnp.zeros(bins))
    weights = np.asarray(shares) + 1 / bins  # the gradient at even logits is the softmax minus the shares
    np.testing.assert_allclose(weights @ np.asarray(bin_centres(bins)), number, atol=2e-3)
    assert (weights > 1e-6).sum() <= 2
