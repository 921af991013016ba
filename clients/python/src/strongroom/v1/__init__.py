"""The messages and stubs that `generate.sh` generates from the proto package `strongroom.v1`.

The package `strongroom` wraps them. Use them directly only for RPCs that it does not offer, such as `OperatorService`.
"""
