"""Every way to log in by a reference to a secret, what is refused before anybody is asked, and sessions that end."""

from __future__ import annotations

import socket
import sys
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from flyte_plugin_snowflake import SnowflakeConfig
from flyte_plugin_snowflake.authentication import login_options
from flyte_plugin_snowflake.backend import SnowflakeBackend
from flyte_plugin_snowflake.errors import SnowflakeConfigError
from flyte_plugin_snowflake.testing.service import Account, SnowflakeService
from flytepath import Secret
from flytepath.plugin import BackendError, ErrorClass, Phase
from pydantic import ValidationError
from snowflake_calls import bound_backend, ended, reference, request, run
from snowflake_vendor import settings

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def pem(passphrase: bytes = b"") -> bytes:
    how = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)


WAYS: dict[str, tuple[dict[str, Any], dict[str, bytes]]] = {
    "password": ({"password": reference("password")}, {}),
    "key pair": ({"private_key": reference("key")}, {"key": pem()}),
    "key pair with a passphrase": (
        {"private_key": reference("key"), "private_key_passphrase": reference("phrase")},
        {"key": pem(b"secret phrase"), "phrase": b"secret phrase"},
    ),
    "OAuth": ({"token": reference("token")}, {"token": b"an oauth token\n"}),
    "programmatic access token": (
        {"token": reference("token"), "authenticator": "programmatic_access_token"},
        {"token": b"a made token"},
    ),
}


@pytest.fixture
def door(account: Account) -> Account:
    account.public_key = PUBLIC
    account.oauth_tokens.add("an oauth token")
    account.access_tokens.add("a made token")
    return account


@pytest.mark.parametrize("way", WAYS)
def test_a_task_may_log_in_with_its_own_secret(way: str, door: Account, snowflake_service: SnowflakeService) -> None:
    fields, secrets = WAYS[way]
    with bound_backend(door, snowflake_service.port, secrets, password=None) as backend:
        plan = backend.plan(request("select 1 as one", SnowflakeConfig(**fields)))
        assert ended(backend, run(backend.submit(plan))).phase is Phase.SUCCEEDED
    assert len(door.logins) == 1, "one session serves all calls"
    assert door.logins[0]["SESSION_PARAMETERS"]["ABORT_DETACHED_QUERY"] is False, "queries outlive the engine"


@pytest.mark.parametrize("way", WAYS)
def test_the_settings_may_say_how_to_log_in(way: str, door: Account, snowflake_service: SnowflakeService) -> None:
    fields, secrets = WAYS[way]
    with bound_backend(door, snowflake_service.port, secrets, **{"password": None, **fields}) as backend:
        assert ended(backend, run(backend.submit(backend.plan(request("select 1 as one"))))).phase is Phase.SUCCEEDED


@pytest.mark.parametrize(
    "fields, secrets",
    [
        ({"private_key": reference("key")}, {"key": pem(b"phrase")}),
        ({"private_key": reference("key"), "private_key_passphrase": reference("p")}, {"key": pem(b"a"), "p": b"b"}),
        (
            {"private_key": reference("key")},
            {"key": b"no key at all, but text of more than eighty characters that could be a part of one, who knows"},
        ),
    ],
)
def test_a_key_that_cannot_be_read_is_told_and_not_shown(
    fields: dict[str, Any], secrets: dict[str, bytes], door: Account, snowflake_service: SnowflakeService
) -> None:
    with bound_backend(door, snowflake_service.port, secrets) as backend, pytest.raises(BackendError) as caught:
        run(backend.submit(backend.plan(request("select 1", SnowflakeConfig(**fields)))))
    assert (caught.value.error_class, caught.value.accepted) == (ErrorClass.AUTH, False)
    assert "private_key_passphrase" in str(caught.value) and secrets["key"].decode()[40:80] not in str(caught.value)
    assert not door.logins


@pytest.mark.parametrize("name, wrong", [("password", b"nope"), ("token", b"nope"), ("key", None)])
def test_wrong_credentials_are_told_as_such(
    name: str, wrong: bytes | None, door: Account, snowflake_service: SnowflakeService
) -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    strange = other.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    field = "private_key" if name == "key" else name
    config = SnowflakeConfig(**{field: reference("given")})
    secrets = {"given": wrong or strange}
    with bound_backend(door, snowflake_service.port, secrets) as backend, pytest.raises(BackendError) as caught:
        run(backend.submit(backend.plan(request("select 1", config))))
    assert (caught.value.error_class, caught.value.accepted) == (ErrorClass.AUTH, False)
    assert "[backends.snowflake]" in (caught.value.hint or "")


def test_a_role_that_is_not_granted_is_named(door: Account, snowflake_service: SnowflakeService) -> None:
    with (
        bound_backend(door, snowflake_service.port) as backend,
        pytest.raises(BackendError, match="'EMPRESS'") as caught,
    ):
        run(backend.submit(backend.plan(request("select 1", SnowflakeConfig(role="EMPRESS")))))
    assert caught.value.error_class is ErrorClass.AUTH and "grant the role" in (caught.value.hint or "")


def test_a_warehouse_that_is_not_there_is_told_with_what_to_do(
    door: Account, snowflake_service: SnowflakeService
) -> None:
    with bound_backend(door, snowflake_service.port) as backend, pytest.raises(BackendError, match="000606") as caught:
        run(backend.submit(backend.plan(request("select 1", SnowflakeConfig(warehouse="HUGE")))))
    assert caught.value.error_class is ErrorClass.INVALID and "name a warehouse" in (caught.value.hint or "")


def test_a_database_that_is_not_there_is_told(door: Account, snowflake_service: SnowflakeService) -> None:
    with bound_backend(door, snowflake_service.port) as backend, pytest.raises(BackendError, match="NOWHERE") as caught:
        run(backend.submit(backend.plan(request("select 1", SnowflakeConfig(database="NOWHERE")))))
    assert (caught.value.error_class, caught.value.accepted) == (ErrorClass.INVALID, False)


def test_a_missing_permission_is_snowflakes_own_text(door: Account, snowflake_service: SnowflakeService) -> None:
    door.forbidden.add("SALARIES")
    with bound_backend(door, snowflake_service.port) as backend:
        seen = ended(backend, run(backend.submit(backend.plan(request("select * from salaries")))))
    assert (seen.phase, seen.error_class) == (Phase.FAILED, ErrorClass.AUTH)
    assert seen.reason.startswith("Snowflake 003001 (42501): ") and "'SALARIES'" in seen.reason
    assert "grant the role" in seen.reason


def test_a_host_that_nobody_answers_at_is_unreachable_and_not_wrong(door: Account) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with bound_backend(door, port, login_seconds=1) as backend, pytest.raises(BackendError) as caught:
            run(backend.submit(backend.plan(request("select 1"))))
    assert caught.value.error_class in (ErrorClass.TRANSIENT, ErrorClass.UNAVAILABLE)
    assert caught.value.accepted is False and "host" in (caught.value.hint or "")
    assert "127.0.0.1" in caught.value.message, "a slip in the address can be seen"


def test_a_missing_connector_is_told_with_the_command_that_brings_it(
    door: Account, snowflake_service: SnowflakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bound_backend(door, snowflake_service.port) as backend:
        plan = backend.plan(request("select 1"))
        monkeypatch.setitem(sys.modules, "snowflake.connector", None)
        with pytest.raises(BackendError, match="cannot be imported") as caught:
            run(backend.submit(plan))
    assert "pip install flyte-plugin-snowflake" in (caught.value.hint or "")


# --- refused before anybody is asked ---


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"authenticator": "externalbrowser"}, "nobody is there"),
        ({"authenticator": "kerberos"}, "there is no authenticator"),
        ({"authenticator": "oauth", "password": reference("p")}, "takes token, not password"),
        ({"token": reference("t"), "private_key": reference("k")}, "two ways to log in"),
        ({"private_key_passphrase": reference("p")}, "without its private key"),
        ({"password": "hunter2"}, "never the secret itself"),
        ({"warehouse": 7}, "warehouse is text"),
        ({"account": "evil.example/?"}, "an identifier and no address"),
        ({"result": "rows"}, "as a frame or stays"),
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(SnowflakeConfigError, match=words) as caught:
        SnowflakeConfig(**fields)
    assert "hunter2" not in str(caught.value)
    if "password" not in fields:
        return
    with pytest.raises(ValidationError):
        settings(1, **fields)


def test_a_secret_of_flytekits_kind_is_a_reference_too() -> None:
    assert SnowflakeConfig(password=Secret(group="snowflake", key="password")) == SnowflakeConfig(
        password=reference("password")
    )


def test_an_identity_provider_is_given_the_password() -> None:
    options = login_options("https://acme.okta.com", {"password": b"p"})
    assert options == {"password": "p", "authenticator": "https://acme.okta.com"}


@pytest.mark.parametrize("fields", [{"account": "acme-us"}, {"user": "SOMEBODY"}])
def test_the_settings_secrets_are_for_their_own_account_and_user(fields: dict[str, str]) -> None:
    made = SnowflakeBackend(settings(1))
    with pytest.raises(BackendError, match="the settings are for ETL@acme-eu") as caught:
        made.plan(request("select 1", SnowflakeConfig(**fields)))
    assert caught.value.error_class is ErrorClass.AUTH and "SnowflakeConfig" in (caught.value.hint or "")
    own = made.plan(request("select 1", SnowflakeConfig(token=reference("t"), **fields)))
    assert own.secrets == (reference("t"),)
    assert made.plan(request("select 1", SnowflakeConfig(account="ACME-EU"))).secrets == (reference("password"),)


# --- sessions ---


def test_one_session_serves_all_calls_of_a_place(door: Account, snowflake_service: SnowflakeService) -> None:
    with bound_backend(door, snowflake_service.port) as backend:
        for _ in range(3):
            ended(backend, run(backend.submit(backend.plan(request("select 1")))))
        assert len(door.logins) == 1
        run(backend.submit(backend.plan(request("select 1", SnowflakeConfig(role="LOADER")))))
        assert len(door.logins) == 2, "another role is another session"


def test_statements_that_change_their_session_have_one_of_their_own(
    door: Account, snowflake_service: SnowflakeService
) -> None:
    with bound_backend(door, snowflake_service.port) as backend:
        run(backend.submit(backend.plan(request("select 1"))))
        run(backend.submit(backend.plan(request("begin; select 1; commit", statements=3))))
        run(backend.submit(backend.plan(request("use schema public"))))
    assert len(door.logins) == 3


def test_the_address_of_the_settings_is_that_of_their_account(
    monkeypatch: pytest.MonkeyPatch, door: Account, snowflake_service: SnowflakeService
) -> None:
    import snowflake.connector as vendor

    asked: list[dict[str, Any]] = []

    def connect(**options: Any) -> Any:
        asked.append(options)
        raise vendor.errors.OperationalError("nobody answers")

    monkeypatch.setattr(vendor, "connect", connect)
    with bound_backend(door, snowflake_service.port, secrets={"t": b"token"}) as backend:
        for account in ("acme-eu", "acme-us"):
            config = SnowflakeConfig(account=account, token=reference("t"))
            with pytest.raises(BackendError, match="nobody answers"):
                run(backend.submit(backend.plan(request("select 1", config))))
    assert [options.get("host") for options in asked] == ["127.0.0.1", None]


@pytest.mark.parametrize("renewable", [True, False])
def test_a_session_that_expired_is_no_trouble(
    renewable: bool, door: Account, snowflake_service: SnowflakeService
) -> None:
    with bound_backend(door, snowflake_service.port) as backend:
        handle = run(backend.submit(backend.plan(request("select 1"))))
        door.expire_sessions(renewable=renewable)
        assert ended(backend, handle).phase is Phase.SUCCEEDED
        handles = [run(backend.submit(backend.plan(request("select 1")))) for _ in range(3)]
        door.expire_sessions(renewable=renewable)
        assert {seen.phase for seen in run(backend.poll(handles)).values()} == {Phase.SUCCEEDED}  # type: ignore[union-attr]
    assert len(door.logins) == (1 if renewable else 3)
