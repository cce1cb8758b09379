"""`python -m and_nnsight` is `and-nnsight`."""

from .cli import main

if __name__ == "__main__":
    main()
