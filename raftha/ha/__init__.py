"""The decisions: pure functions from a view of the world to the acts that should follow."""
