"""What keeps the single-machine stack from running."""


class StackError(Exception):
    """The text says what is wrong and what to do about it."""
