from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from flytepath.authoring.context import ExecutionContext, current_context
from flytepath.authoring.secrets import SecretsManager, handed_over
from flytepath.errors import FlytePathError, InputError, PluginNotFoundError
from flytepath.model.identity import Tenant
from flytepath.model.secret import Secret
from flytepath.plugin.secrets import SecretNotFoundError


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SecretsManager:
    monkeypatch.setenv("FLYTEPATH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FLYTE_SECRETS_DEFAULT_DIR", str(tmp_path / "mounted"))
    return SecretsManager()


def test_names_are_flytekit_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLYTE_SECRETS_DEFAULT_DIR", raising=False)
    secrets = current_context().secrets
    assert secrets.get_secrets_env_var("g", "k") == "_FSEC_G_K"
    assert secrets.get_secrets_env_var("g", "k", "v1") == "_FSEC_G_V1_K"
    assert secrets.get_secrets_env_var(key="k") == secrets.get_secrets_env_var(group="k") == "_FSEC_K"
    assert secrets.get_secrets_file("g", "k", "v1") == "/etc/secrets/g/v1/k"
    assert secrets.get_secrets_file(key="k") == "/etc/secrets/k"


def test_prefixes_can_be_set(secrets: SecretsManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYTE_SECRETS_ENV_PREFIX", "MY_")
    monkeypatch.setenv("FLYTE_SECRETS_FILE_PREFIX", "p-")
    assert secrets.get_secrets_file("g", "k") == str(tmp_path / "mounted" / "g" / "p-k")
    monkeypatch.setenv("MY_G_K", "x")
    assert secrets.get("g", "k") == "x"


@pytest.mark.parametrize("variable", ["_FSEC_DB_PASS-WORD", "_FSEC_DB_PASS_WORD", "FLYTEPATH_SECRET_DB_PASS_WORD"])
def test_variables_are_looked_at(secrets: SecretsManager, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "  swordfish\n")
    assert secrets.get("db", "pass-word") == "swordfish"
    assert secrets.get("db", "pass-word", encode_mode="rb") == b"  swordfish\n"


def test_files_are_looked_at(secrets: SecretsManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mounted" / "db").mkdir(parents=True)
    (tmp_path / "mounted" / "db" / "key").write_bytes(b"\xff\x00")
    assert secrets.get("db", "key", encode_mode="rb") == b"\xff\x00"
    (tmp_path / "mounted" / "db" / "key").write_text("text\n")
    assert secrets.get("db", "key") == secrets.db.key == "text"
    monkeypatch.setenv("_FSEC_DB_KEY", "a variable goes first")
    assert secrets.get("db", "key") == "a variable goes first"


def test_a_secret_that_is_nowhere_names_every_place(secrets: SecretsManager, tmp_path: Path) -> None:
    with pytest.raises(SecretNotFoundError) as caught:
        secrets.get("db", "password")
    assert isinstance(caught.value, ValueError) and isinstance(caught.value, FlytePathError)
    told = str(caught.value)
    for place in ("_FSEC_DB_PASSWORD", str(tmp_path / "mounted" / "db" / "password"), "secret_requests"):
        assert place in told
    with pytest.raises(SecretNotFoundError):
        _ = secrets.db.password


def test_a_group_is_a_folder_and_not_a_secret(secrets: SecretsManager, tmp_path: Path) -> None:
    (tmp_path / "mounted" / "db").mkdir(parents=True)
    with pytest.raises(SecretNotFoundError):
        secrets.get("db")


def test_a_provider_that_is_not_installed_is_told(secrets: SecretsManager) -> None:
    with pytest.raises(PluginNotFoundError, match="vault"):
        secrets.get("db", "password", scheme="vault")


@pytest.mark.parametrize("group", [None, ""])
def test_neither_group_nor_key_is_refused(secrets: SecretsManager, group: str | None) -> None:
    for ask in (secrets.get, secrets.get_secrets_env_var, secrets.get_secrets_file):
        with pytest.raises(InputError, match="group or a key"):
            ask(group)


def test_another_mode_is_refused(secrets: SecretsManager) -> None:
    with pytest.raises(InputError, match="encode_mode"):
        secrets.get("db", "k", encode_mode="w")  # type: ignore[call-overload]


def test_values_are_neither_shown_nor_logged(
    secrets: SecretsManager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("_FSEC_DB_PASSWORD", "swordfish")
    with caplog.at_level(logging.DEBUG):
        secrets.get("db", "password")
        shown = f"{secrets!r} {secrets.db!r} {secrets} {ExecutionContext(tenant=Tenant()).secrets!r}"
    assert "swordfish" not in caplog.text + shown
    assert not hasattr(secrets, "__deepcopy__"), "dunder names are no groups"


def test_variables_that_tasks_ask_for(secrets: SecretsManager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_FSEC_DB_PASSWORD", "swordfish")
    requests = [Secret("db", "password", env_var="DB_PASSWORD")]
    with handed_over(requests, ExecutionContext(node_path="load")):
        assert os.environ["DB_PASSWORD"] == "swordfish"
    assert "DB_PASSWORD" not in os.environ


def test_variables_without_a_name_have_flytekit_s(secrets: SecretsManager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYTEPATH_SECRET_DB_PASSWORD", "swordfish")
    with handed_over([Secret("db", "password", None, Secret.MountType.ENV_VAR)], ExecutionContext()):
        assert os.environ[secrets.get_secrets_env_var("db", "password")] == "swordfish"
    assert "_FSEC_DB_PASSWORD" not in os.environ


def test_files_are_there_while_the_body_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_FSEC_DB_V1_PASSWORD", "swordfish")
    monkeypatch.setenv("_FSEC_TOKEN", "  as it is\n")
    context = ExecutionContext(working_directory=tmp_path / "own")
    requests = [Secret("db", "password", "v1", Secret.MountType.FILE), Secret(key="token", mount_requirement=2)]  # type: ignore[arg-type]
    with handed_over(requests, context):
        file, token = (Path(context.secrets.get_secrets_file(*name)) for name in (("db", "password"), (None, "token")))
        assert file.is_relative_to(tmp_path / "own") and file.is_relative_to(os.environ["FLYTEPATH_SECRETS_MOUNTED"])
        assert (file.read_text(), token.read_text()) == ("swordfish", "  as it is\n")
        assert {path.stat().st_mode & 0o777 for path in (file, token)} == {0o600}
        assert context.secrets.get_secrets_file("db", "other") == str(tmp_path / "mounted" / "db" / "other")
    assert not list((tmp_path / "own").iterdir())


@pytest.fixture(autouse=True)
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYTE_SECRETS_DEFAULT_DIR", str(tmp_path / "mounted"))


def test_files_are_removed_when_the_body_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_FSEC_DB_PASSWORD", "swordfish")
    context = ExecutionContext(working_directory=tmp_path / "own")
    with (
        pytest.raises(ZeroDivisionError),
        handed_over([Secret("db", "password", None, Secret.MountType.FILE)], context),
    ):
        _ = 1 / 0
    assert not list((tmp_path / "own").iterdir())


@pytest.mark.parametrize("name", ["..", "a/b"])
def test_a_name_that_cannot_be_a_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(SecretsManager().get_secrets_env_var("db", name), "swordfish")
    context = ExecutionContext(working_directory=tmp_path / "own")
    with (
        pytest.raises(InputError, match="as a file"),
        handed_over([Secret("db", name, None, Secret.MountType.FILE)], context),
    ):
        raise AssertionError("the body ran")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_all_that_is_asked_for_must_be_there_before_the_body_runs() -> None:
    context = ExecutionContext(node_path="load")
    with pytest.raises(SecretNotFoundError) as caught, handed_over([Secret("db", "nowhere")], context):
        raise AssertionError("the body ran")
    assert (caught.value.place or "").startswith("load(secret_requests)")


def test_the_provider_that_the_task_names_is_the_one_that_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_FSEC_DB_PASSWORD", "a variable")
    (tmp_path / "mounted" / "db").mkdir(parents=True)
    (tmp_path / "mounted" / "db" / "password").write_text("a file")
    context = ExecutionContext()
    with handed_over([Secret("db", "password", env_var="HERE", scheme="file")], context):
        assert context.secrets.get("db", "password") == context.secrets.db.password == os.environ["HERE"] == "a file"
        assert context.secrets.get("db", "password", scheme="env") == "a variable"
    assert ExecutionContext().secrets.get("db", "password") == "a variable"


def test_what_is_no_text_is_told_without_it(tmp_path: Path) -> None:
    (tmp_path / "mounted" / "db").mkdir(parents=True)
    (tmp_path / "mounted" / "db" / "key").write_bytes(b"\xffcanary")
    with pytest.raises(InputError, match="not text") as caught:
        SecretsManager().get("db", "key")
    assert caught.value.__cause__ is None and caught.value.__context__ is None
    assert "canary" not in repr(caught.value) + str(caught.value)
    assert SecretsManager().get("db", "key", encode_mode="rb") == b"\xffcanary"
