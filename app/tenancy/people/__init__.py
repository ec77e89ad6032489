"""People: who signs in, by what browser, and as whom in which account.

Promises: a person is the numeric id that GitHub gave it, whatever its login becomes; only verified addresses count; a
sign-in ends in the browser in which it began, once, within ten minutes; nothing of GitHub's is kept but who it was. A
session lasts 14 days, 12 hours when nobody uses it; its secret is stored only as a peppered hash, changes at every
sign-in, at every change of account and every hour, and the one before it opens for 30 seconds more. An ended session
opens nothing at once in the process that ended it and within two seconds in every other.
Tables: people, sign_ins, sessions; only the ``auth`` role reads them.
"""

from app.tenancy.people.sessions import Sessions
from app.tenancy.people.tokens import Tokens

__all__ = ["Sessions", "Tokens"]
