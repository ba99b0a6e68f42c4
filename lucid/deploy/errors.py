"""A site that cannot be deployed."""


class SiteError(Exception):
    """The inventory contradicts the catalogue or itself; the message names host, variable and fix."""
