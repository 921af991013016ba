"""The version of this package, which is also the version of the server it was made with."""

__version__ = "0.1.0"
