"""`python -m moot` is `moot`."""

from .cli import main

main()
