"""The command `raftha`: starts nodes, shows the cluster, hands the lead over."""
