"""The kill switch: a process of its own, parent of the postmaster, keeper of its deadline.

Everything here but `client` and `events` runs inside that process, imports nothing but the
standard library, and is written to stay small: named tuples instead of dataclasses, `poll`
instead of a framework.
"""
