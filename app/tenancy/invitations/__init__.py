"""Invitations: people asked into an account by e-mail.

Promises: a token leaves by mail alone and is stored only as a peppered hash; it opens for seven days, once, and only to
a signed-in person who has the address as a verified one; a newer mail puts the older one's token out of force; what
somebody invited to is no more than it may give at that time and still may when it is accepted.
Tables: invitations, invitation_tokens. States: open → accepted, revoked; one whose days are over is expired.
"""
