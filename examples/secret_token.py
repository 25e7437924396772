"""Secrets: a task says which it needs; its code asks for the value, and nothing keeps it.

    _FSEC_WEATHER_TOKEN=swordfish flytepath run examples/secret_token.py fetch
    flytepath run examples/secret_token.py look

What it shows:

- ``secret_requests`` where the task is declared: without the secret it does not start, and the error names every place
  that was looked at;
- ``current_context().secrets.get(group, key)`` in the running code: environment variables, files, and the providers
  that are configured are looked at, in their order;
- ``env_var``, for what the task starts;
- what the task prints, or what it has started, stands in its log without the value;
- a secret that need not be there is not declared: asking for it raises a ``ValueError`` where it is missing.
"""

from __future__ import annotations

from flytepath import Secret, current_context, task, workflow

TOKEN = Secret(group="weather", key="token", env_var="WEATHER_TOKEN")


@task(secret_requests=[TOKEN])
def sign_in(service: str) -> str:
    """Reach the service with a token."""
    token = current_context().secrets.get("weather", "token")
    print(f"signing in with {token}")  # the log says: signing in with [secret weather.token]
    return f"{service}: signed in with a token of {len(token)} letters"


@task
def knock(service: str) -> str:
    """How the service is reached: with a ticket where there is one, else as anybody."""
    try:
        ticket = current_context().secrets.get("weather", "ticket")
    except ValueError:
        return f"{service}: anonymous"
    return f"{service}: with a ticket of {len(ticket)} letters"


@workflow
def fetch(service: str = "weather.example.com") -> str:
    """Reach the service with a token."""
    return sign_in(service=service)


@workflow
def look(service: str = "weather.example.com") -> str:
    """Reach the service with what there is."""
    return knock(service=service)
