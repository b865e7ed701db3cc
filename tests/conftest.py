"""Settings of all tests: compiled programs are kept between runs, and no accelerator is needed."""

from mag.runtime import setup

setup(workers=4)
