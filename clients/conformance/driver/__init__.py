"""The parts of `clients/conformance/run`. They need only Python's standard library and openssl."""
