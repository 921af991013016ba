"""The generated messages and stubs of the proto package `strongroom.v1`, made by `generate.sh`.

`strongroom` wraps them. Use them directly only for what it does not offer: they follow the wire, not Python.
"""
