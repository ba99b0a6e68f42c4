"""`python -m lucid` is `lucid`."""

from lucid.cli import main

if __name__ == "__main__":
    main()
