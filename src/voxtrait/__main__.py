"""``python -m voxtrait`` is the console script."""

from voxtrait.cli import main

if __name__ == "__main__":
    main()
