"""Secrets: a task says which it needs; its code asks for the value, and nothing keeps it.

    flytepath run examples/secret_token.py fetch
    _FSEC_WEATHER_TOKEN=swordfish flytepath run examples/secret_token.py fetch

What it shows:

- ``secret_requests`` where the task is declared, so that a platform can hand the secret over;
- ``current_context().secrets.get(group, key)`` in the running code: environment variables, mounted files, and the
  provider that is configured are looked at, in this order;
- the error where a secret is missing names every place, and is a ``ValueError``.

A secret belongs neither into an output nor into a log: this task returns only how it signed in.
"""

from __future__ import annotations

from flytepath import Secret, current_context, task, workflow

TOKEN = Secret(group="weather", key="token")


@task(secret_requests=[TOKEN])
def sign_in(service: str) -> str:
    """How the service is reached: with a token where there is one, else as anybody."""
    try:
        token = current_context().secrets.get("weather", "token")
    except ValueError:
        return f"{service}: anonymous"
    return f"{service}: signed in with a token of {len(token)} letters"


@workflow
def fetch(service: str = "weather.example.com") -> str:
    """Reach the service."""
    return sign_in(service=service)
