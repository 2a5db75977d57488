"""`python -m raftha.cli` is the command `raftha`."""

from raftha.cli.main import main

main()
