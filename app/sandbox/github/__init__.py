"""GitHub, as far as people sign in with it: the page where they allow it, the code, the token, and who they are.

Promises: a code is good once, for ten minutes, for the app, the address and the PKCE challenge it was asked for with;
every refusal is in GitHub's own words and, as GitHub has it, most of them with status 200. Whoever comes to the page
chooses who to be: there are no passwords here. No tables.
"""

from app.sandbox.github.site import GithubSite
from app.sandbox.people import GithubEmail, GithubPerson

__all__ = ["GithubEmail", "GithubPerson", "GithubSite"]
