"""`python -m mag` is `mag`."""

from mag.cli import main

main()
