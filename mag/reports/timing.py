"""Times relative to the machine's matrix products, timed in the same process.

Machines are noisy, so each repetition is paired with a matrix product timed just before and just after it, and only
the ratio is compared: `effective_utilisation` = dense floating-point operations / (seconds x SGEMM rate). Dense
operations count every weight matrix as multiplied in full, even where look-ups or shared work avoid the product.
"""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import jax

from mag.runtime import compile_options

Result = dict[str, Any]


def measure(function: Callable, *args: Any, flops: float | None, repeats: int, updates: int = 1) -> Result:
    """Median seconds per update of the compiled function, and its utilisation relative to the machine's SGEMM.

    One call of the function makes `updates` updates; `flops` counts the operations of one update.
    """
    begin = time.perf_counter()
    if not isinstance(function, jax.stages.Wrapped):
        function = jax.jit(function, compiler_options=compile_options())
    compiled = function.lower(*args).compile()
    compile_seconds = time.perf_counter() - begin
    args = jax.device_put(args, compiled.input_shardings[0])
    jax.block_until_ready(compiled(*args))
    timing = timed(lambda: compiled(*args), flops=flops, repeats=repeats, updates=updates)
    return timing | {"compile_seconds": compile_seconds}


def timed(function: Callable[[], Any], *, flops: float | None, repeats: int, updates: int = 1) -> Result:
    """Median seconds per update, and its utilisation if its operations are known.

    Each repetition is paired with matrix products just before and just after it.
    """
    rate = (lambda: 0.0) if flops is None else sgemm()
    seconds, rates = [], [rate()]
    for _ in range(repeats):
        begin = time.perf_counter()
        jax.block_until_ready(function())
        seconds.append((time.perf_counter() - begin) / updates)
        rates.append(rate())
    result: Result = {"seconds": median(seconds)}
    if flops is None:
        return result
    pairs = zip(seconds, rates[:-1], rates[1:], strict=True)
    utilisation = median(flops / (each * (before + after) / 2) for each, before, after in pairs)
    return result | {
        "dense_tflop": flops / 1e12,
        "sgemm_gflops": median(rates) / 1e9,
        "effective_utilisation": utilisation,
    }


def sgemm(size: int = 2048, products: int = 4) -> Callable[[], float]:
    """A function that times a few large matrix products and returns operations per second."""
    x = jax.random.normal(jax.random.key(0), (size, size))
    product = jax.jit(lambda x: x @ x)
    jax.block_until_ready(product(x))

    def rate() -> float:
        begin = time.perf_counter()
        for _ in range(products):
            jax.block_until_ready(product(x))
        return 2 * size**3 * products / (time.perf_counter() - begin)

    return rate
