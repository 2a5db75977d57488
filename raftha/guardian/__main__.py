"""Starts the guardian; also by path in an isolated interpreter, which has no import path to us."""

import os
import sys

if not __package__:
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from raftha.guardian.main import main

main(sys.argv[1:])
