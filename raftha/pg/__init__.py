"""PostgreSQL on this machine: programs, files, connections. Never starts or promotes a server."""
