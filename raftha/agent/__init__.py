"""The composition root: builds every part, observes, decides, performs."""
