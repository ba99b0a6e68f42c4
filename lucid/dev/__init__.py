"""The single-machine stack: all of Lucid on loopback, for development and tests. No service imports this."""
