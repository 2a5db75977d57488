"""What people write, checked once and turned into the typed values of `raftha.model.settings`.

Only `load` reads a file and the environment; the rest of the package takes values and returns
values. It never applies a setting and never writes anything.
"""
