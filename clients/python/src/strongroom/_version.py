"""The version of this package. It is the version of the server that the package was released with."""

__version__ = "0.1.0"
