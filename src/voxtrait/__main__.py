"""Runs the console script as ``python -m voxtrait``."""

from voxtrait.cli import main

if __name__ == "__main__":
    main()
