"""``python -m app`` is ``hourglass``."""

from app.cli import main

main()
