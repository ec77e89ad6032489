"""The command line: ``hourglass``. For the operator it runs the service, for everybody it is a client of the API."""

from app.cli.commands import main

__all__ = ["main"]
