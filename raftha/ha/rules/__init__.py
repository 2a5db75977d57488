"""The table of rules, a file for each family. `raftha.ha.decide` puts them in order."""
