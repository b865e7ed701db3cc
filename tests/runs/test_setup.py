"""What a run says of itself before it starts."""

import re
from pathlib import Path

from mag.runs.setup import headline, set_up
from tests.support.fake import fake_config


def test_the_first_line_says_what_runs_where_and_how_large_it_is():
    config = fake_config(seed=4)
    setup = set_up(config)[0]._replace(size=3 * 2**20)
    assert re.fullmatch(
        r"training tests\.support\.fake on tests\.support\.fake_env/four_steps, size debug, recipe tuned, "
        r"seeds 4 to 5, on CPU \(\d+ cores?\), about 3 MiB of memory, in runs/x",
        headline(config, setup, Path("runs/x")),
    )
    single = fake_config(seed=4, num_seeds=1)
    told = headline(single, setup._replace(size=3 * 2**29), Path("runs/x"))
    assert "recipe tuned, seed 4, on" in told and "about 1.5 GiB of memory" in told
