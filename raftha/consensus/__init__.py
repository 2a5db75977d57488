"""The key store: a small replicated state machine on a Raft group of the agents themselves."""
