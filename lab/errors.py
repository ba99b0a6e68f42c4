"""What keeps the lab from doing what it was asked."""


class LabError(Exception):
    """The text says what is wrong and what to do about it."""
