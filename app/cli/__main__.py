"""``python -m app.cli`` is ``hourglass``."""

from app.cli import main

main()
