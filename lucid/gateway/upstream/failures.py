"""What can go wrong between the gateway and a service, before it is said to anybody."""


class Failure(Exception):
    """An exchange that did not come to its end by the service's fault; the message says how."""


class NotReached(Failure):
    """No connection: nothing was sent."""


class Stale(Failure):
    """A kept connection was closed before anything of the answer came, which is no sign of a fault."""


class Silent(Failure):
    """Nothing came for too long."""


class Overdue(Failure):
    """The time that the caller gave as a whole is over."""


class Broken(Failure):
    """The connection ended in the middle, or what came is not HTTP as it should be."""
