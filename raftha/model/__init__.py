"""Frozen values that every layer above shares. No I/O, no behaviour beyond arithmetic."""
