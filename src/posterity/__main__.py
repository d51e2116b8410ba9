"""`python -m posterity`: the command line, where the script `posterity` is not on the path."""

import sys

from posterity.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
