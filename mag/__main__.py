"""`python -m mag` is `mag`."""

from mag.cli import main

if __name__ == "__main__":
    main()
