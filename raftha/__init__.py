"""raftha: an agent that keeps one PostgreSQL cluster available on its own Raft group."""

__version__ = "0.1.0"
