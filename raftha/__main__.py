"""`python -m raftha` is the command `raftha`."""

from raftha.cli.main import main

main()
