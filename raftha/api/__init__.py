"""HTTP: what load balancers, monitors, peers and the CLI ask of a node, and the answers."""
