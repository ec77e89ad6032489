"""The page that an invitation's mail leads to: it keeps the token, has the person sign in, and accepts."""

from __future__ import annotations

import base64
import hashlib

from fastapi.responses import HTMLResponse

_SCRIPT = """
const key = "hourglass-invitation", said = document.getElementById("said"), button = document.getElementById("accept");
const token = location.hash.slice(1) || sessionStorage.getItem(key);
const say = text => { said.textContent = text; };
if (token) sessionStorage.setItem(key, token);
history.replaceState(null, "", location.pathname);
const start = async () => {
  if (!token) return say("Open the link of the invitation's mail.");
  const answer = await fetch("/v1/session");
  if (answer.status === 401) {
    say("Sign in with the account whose address was invited.");
    document.getElementById("sign-in").hidden = false;
    return;
  }
  const session = await answer.json();
  say(`You are signed in as ${session.person.name}.`);
  button.hidden = false;
  button.onclick = async () => {
    button.disabled = true;
    const headers = {"Content-Type": "application/json", "X-CSRF-Token": session.csrf_token};
    const body = JSON.stringify({token});
    const told = await fetch(location.pathname, {method: "POST", headers, body});
    const joined = await told.json();
    if (told.ok) sessionStorage.removeItem(key);
    say(told.ok ? `You have joined ${joined.name}.` : `${joined.detail} ${joined.suggestion}`);
    button.hidden = told.ok;
    button.disabled = false;
  };
};
start().catch(() => say("The service can't be reached. Try again."));
"""
_PAGE = f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Hourglass</title></head>
<body><h1>Your invitation</h1><p id="said"></p>
<p><a id="sign-in" href="/v1/auth/github?return_to=/v1/invitations/accept" hidden>Sign in with GitHub</a></p>
<p><button id="accept" hidden>Join</button></p>
<noscript><p>This page needs JavaScript.</p></noscript>
<script>{_SCRIPT}</script></body>
</html>
"""
_SCRIPT_HASH = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
_POLICY = (
    f"default-src 'none'; script-src 'sha256-{_SCRIPT_HASH}'; connect-src 'self'; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'none'"
)


def accept_page() -> HTMLResponse:
    """Return the page. It is the same for everybody and holds no token; no other script runs in it."""
    return HTMLResponse(_PAGE, headers={"Content-Security-Policy": _POLICY})
