"""Where secrets come from: environment, files, keyring, plugins; each tenant has its own; no error holds a value."""

from __future__ import annotations

import logging
import os
import pickle
import traceback
from pathlib import Path
from typing import Any

import pytest
from fake_distributions import Distributions
from flytepath.engine.secrets import files
from flytepath.engine.secrets.resolving import resolve_secret
from flytepath.errors import ConfigError, PluginDeniedError, PluginNotFoundError
from flytepath.model.identity import Tenant
from flytepath.plugin import manager as managers
from flytepath.plugin.manager import PluginManager
from flytepath.plugin.secrets import SecretNotFoundError, SecretProviderError, SecretReference

CANARY = "swordfish-7Q"
VISION, SPEECH = Tenant("vision", "production"), Tenant("speech", "development")
PASSWORD = SecretReference("db", "password")


@pytest.fixture(autouse=True)
def surroundings(distributions: Distributions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in [name for name in os.environ if name.startswith(("FLYTEPATH_SECRET", "_FSEC_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FLYTE_SECRETS_DEFAULT_DIR", str(tmp_path / "mounted"))
    before = managers.set_current(None)
    yield
    managers.set_current(before)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLYTEPATH_SECRETS_FOLDER", str(tmp_path / "secrets"))
    return tmp_path / "secrets"


def put(path: Path, content: str = CANARY, mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    path.chmod(mode)
    return path


def from_file(group: str, key: str, tenant: Tenant | None = VISION, version: str = "") -> bytes:
    return resolve_secret(SecretReference(group, key, "file", version), tenant)


# --- files ---


def test_a_tenants_own_file_goes_before_the_one_for_all(folder: Path) -> None:
    put(folder / "db" / "password", "for all")
    assert from_file("db", "password") == from_file("db", "password", SPEECH) == b"for all"
    put(folder / "vision" / "production" / "db" / "password", "for vision")
    assert from_file("db", "password") == b"for vision"
    assert from_file("db", "password", SPEECH) == from_file("db", "password", None) == b"for all"


def test_a_version_is_another_file(folder: Path) -> None:
    put(folder / "db" / "password@v2", "new")
    assert from_file("db", "password", version="v2") == b"new"
    with pytest.raises(SecretNotFoundError):
        from_file("db", "password")


@pytest.mark.parametrize(("group", "key"), [("", "token"), ("token", "")])
def test_a_secret_may_have_one_name_only(folder: Path, group: str, key: str) -> None:
    put(folder / "vision" / "production" / "token")
    assert from_file(group, key) == CANARY.encode()


@pytest.mark.parametrize(
    ("group", "key", "version"),
    [
        ("vision", "token", "production"),
        ("vision", "production", ""),
        ("vision/production", "token", ""),
        ("vision/production/db", "password", ""),
        ("../secrets/vision/production", "token", ""),
        ("", "vision/production/token", ""),
        ("..", "vision", ""),
    ],
)
def test_no_name_of_a_secret_leads_to_another_tenants(folder: Path, group: str, key: str, version: str) -> None:
    put(folder / "vision" / "production" / "token")
    put(folder / "vision" / "production" / "db" / "password")
    with pytest.raises(SecretNotFoundError):
        from_file(group, key, SPEECH, version)


@pytest.mark.parametrize("inside", ["", "below", "above"])
def test_the_folder_of_mounts_opens_no_way_into_the_files_of_tenants(
    folder: Path, monkeypatch: pytest.MonkeyPatch, inside: str
) -> None:
    put(folder / "vision" / "production" / "token")
    put(folder / "vision" / "token")
    mounted, (group, key, version) = {
        "": (folder, ("vision", "token", "production")),
        "below": (folder / "vision", ("production", "token", "")),
        "above": (folder.parent, ("secrets", "token", "vision")),
    }[inside]
    monkeypatch.setenv("FLYTE_SECRETS_DEFAULT_DIR", str(mounted))
    with pytest.raises(SecretNotFoundError):
        from_file(group, key, SPEECH, version)


@pytest.mark.parametrize("part", ["..", ".", "a/b", "a\\b", "/etc/passwd", "a\0b", "a\nb", "x" * 300])
def test_what_is_no_name_of_a_file_is_in_none(folder: Path, part: str) -> None:
    put(folder.parent / "outside")
    for group, key, version in ((part, "k", ""), ("g", part, ""), ("g", "k", part)):
        with pytest.raises(SecretNotFoundError) as caught:
            from_file(group, key, version=version)
        assert "does not name one" in (caught.value.expected or "")


def test_a_link_within_the_folder_is_followed(folder: Path) -> None:
    put(folder / "db" / "..data" / "password")
    (folder / "db" / "password").symlink_to(Path("..data") / "password")
    assert from_file("db", "password") == CANARY.encode()


@pytest.mark.parametrize("kind", ["absolute", "relative", "folder", "to another tenant"])
def test_a_link_out_of_the_folder_is_refused(folder: Path, kind: str) -> None:
    put(folder.parent / "outside" / "password")
    put(folder / "speech" / "development" / "db" / "password")
    own = folder / "vision" / "production"
    (own / "db").mkdir(parents=True)
    if kind == "folder":
        (own / "db").rmdir()
        (own / "db").symlink_to(folder.parent / "outside")
    else:
        target = {
            "absolute": folder.parent / "outside" / "password",
            "relative": Path("../../../../outside/password"),
            "to another tenant": folder / "speech" / "development" / "db" / "password",
        }[kind]
        (own / "db" / "password").symlink_to(target)
    with pytest.raises(SecretProviderError, match="leads out") as caught:
        from_file("db", "password")
    assert CANARY not in str(caught.value)


def test_what_is_no_file_is_no_secret(folder: Path) -> None:
    (folder / "db" / "password").mkdir(parents=True)
    os.mkfifo(folder / "db" / "pipe")
    (folder / "db" / "loop").symlink_to("loop")
    for key in ("password", "pipe"):
        with pytest.raises(SecretNotFoundError):
            from_file("db", key)
    with pytest.raises(SecretProviderError, match="symbolic links"):
        from_file("db", "loop")


def test_too_large_a_file_is_no_secret(folder: Path) -> None:
    path = put(folder / "db" / "password")
    os.truncate(path, files.SIZE_LIMIT + 1)
    with pytest.raises(SecretProviderError, match="too large"):
        from_file("db", "password")


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
def test_a_file_that_cannot_be_read_is_told(folder: Path) -> None:
    put(folder / "db" / "password", mode=0)
    with pytest.raises(SecretProviderError, match="cannot be read"):
        from_file("db", "password")


def test_a_file_that_others_can_read_is_told_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = put(folder / "db" / "password", mode=0o644)
    put(folder / "db" / "closed")
    for key in ("password", "password", "closed"):
        assert from_file("db", key) == CANARY.encode()
    assert [record.message for record in caplog.records] == [
        f"every user of this machine can read the secret in {path}: chmod 600 it"
    ]


def test_without_a_folder_only_the_mounted_one_is_looked_at(tmp_path: Path) -> None:
    put(tmp_path / "mounted" / "db" / "v1" / "password")
    assert from_file("db", "password", version="v1") == CANARY.encode()
    with pytest.raises(SecretNotFoundError) as caught:
        from_file("db", "password")
    assert caught.value.expected == f"the file {tmp_path / 'mounted' / 'db' / 'password'}"


def test_files_are_bytes(folder: Path) -> None:
    put(folder / "db" / "password").write_bytes(b"\xff\x00\n")
    assert from_file("db", "password") == b"\xff\x00\n"


# --- which providers are asked ---


def test_variables_go_before_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(folder / "db" / "password", "a file")
    assert resolve_secret(PASSWORD, VISION) == b"a file"
    monkeypatch.setenv("FLYTEPATH_SECRET_DB_PASSWORD", "a variable")
    assert resolve_secret(PASSWORD, VISION) == b"a variable"
    assert from_file("db", "password") == b"a file"


def test_configuration_says_who_is_asked_for_whom(
    distributions: Distributions, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder / "db" / "password", "a file")
    monkeypatch.setenv("FLYTEPATH_SECRET_DB_PASSWORD", "a variable")
    (distributions.work / "flytepath.toml").write_text(
        """
        [secrets]
        default = ["file", "env"]
        [projects.vision.secrets]
        default = "env"
        [projects.vision.domains.production.secrets]
        default = ["file"]
        """
    )
    assert resolve_secret(PASSWORD) == resolve_secret(PASSWORD, SPEECH) == b"a file"
    assert resolve_secret(PASSWORD, Tenant("vision", "development")) == b"a variable"
    assert resolve_secret(PASSWORD, VISION) == b"a file"


def test_the_folder_of_a_configuration_lies_beside_it(distributions: Distributions, tmp_path: Path) -> None:
    (distributions.work / "flytepath.toml").write_text(
        '[secrets]\nfolder = "kept"\n[projects.vision.secrets]\nfolder = "v"'
    )
    put(distributions.work / "kept" / "db" / "password", "for all")
    put(distributions.work / "v" / "db" / "password", "for vision")
    assert from_file("db", "password", SPEECH) == b"for all"
    assert from_file("db", "password", VISION) == b"for vision"


@pytest.mark.parametrize(
    "text", ["[secrets]\ndefault = []", "[secrets]\ndefault = 3", "[secrets]\nfold = 'x'", "[secrets]\nfolder = 1"]
)
def test_a_wrong_configuration_is_told(distributions: Distributions, text: str) -> None:
    (distributions.work / "flytepath.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        resolve_secret(PASSWORD)
    assert "flytepath.toml: secrets." in (caught.value.place or "")


def test_a_scheme_that_nobody_provides_names_who_asks_for_it(distributions: Distributions) -> None:
    (distributions.work / "flytepath.toml").write_text('[secrets]\ndefault = ["vault"]')
    with pytest.raises(PluginNotFoundError) as caught:
        resolve_secret(PASSWORD)
    assert "flytepath.toml: secrets.default" in (caught.value.place or "")
    with pytest.raises(PluginNotFoundError, match="nowhere"):
        resolve_secret(SecretReference("db", "password", "nowhere"))


def test_a_missing_secret_names_every_place(folder: Path) -> None:
    with pytest.raises(SecretNotFoundError) as caught:
        resolve_secret(PASSWORD, VISION)
    told = str(caught.value)
    for place in (
        "the variable FLYTEPATH_SECRET_DB_PASSWORD",
        f"the file {folder / 'vision' / 'production' / 'db' / 'password'}",
        f"the file {folder / 'db' / 'password'}",
        "key 'password' of group 'db'",
        "project vision, domain production",
    ):
        assert place in told


# --- plugins ---

MANIFEST = """
    @hookimpl
    def flytepath_secret_providers():
        return [SecretProviderDeclaration(scheme="vault", provider="flyte_plugin_vault.vault:Vault")]
"""


def install(distributions: Distributions, body: str, more: str = "") -> None:
    manifest = distributions.add("vault", MANIFEST)
    manifest.with_name("vault.py").write_text(
        "from flytepath.plugin import SecretNotFoundError, SecretProvider\n"
        f"{more}\n"
        "class Vault(SecretProvider):\n"
        "    def get(self, reference, tenant):\n" + "".join(f"        {line}\n" for line in body.splitlines())
    )
    managers.set_current(PluginManager())


VAULT = SecretReference("db", "password", "vault", "v3")


def test_a_plugin_is_asked_with_reference_and_tenant(distributions: Distributions) -> None:
    install(distributions, "return f'{reference.group} {reference.key} {reference.version} {tenant}'.encode()")
    assert resolve_secret(VAULT, VISION) == f"db password v3 {VISION}".encode()


def test_a_plugin_is_asked_anew_each_time(distributions: Distributions) -> None:
    install(distributions, "global n\nn += 1\nreturn str(n).encode()", "n = 0")
    assert [resolve_secret(VAULT), resolve_secret(VAULT)] == [b"1", b"2"]


def test_the_policy_of_the_tenant_decides(distributions: Distributions) -> None:
    (distributions.work / "flytepath.toml").write_text("[projects.speech.plugins]\ndeny = ['vault']")
    install(distributions, "return b'for ' + tenant.project.encode()")
    assert resolve_secret(VAULT, VISION) == b"for vision"
    with pytest.raises(PluginDeniedError):
        resolve_secret(VAULT, SPEECH)


def leaks(error: BaseException | None) -> bool:
    """Whether an error, or anything that led to it, holds the value."""
    found = "".join(traceback.format_exception(error)) if error else ""
    while error is not None:
        found += f"{error!r} {error.args} {vars(error)} {pickle.dumps(error)!r}"
        assert error.__context__ is None or error.__context__ is error.__cause__
        error = error.__cause__
    return CANARY in found


@pytest.mark.parametrize(
    "body",
    [
        f"raise RuntimeError('wrong: {CANARY}')",
        f"raise OSError(13, '{CANARY}')",
        f"raise OSError('{CANARY}', '{CANARY}')",
        f"raise SystemExit('{CANARY}')",
        f"try:\n    raise KeyError('{CANARY}')\nexcept KeyError as e:\n    raise ValueError('{CANARY}') from e",
        f"raise SecretProviderError('{CANARY}', hint='{CANARY}')",
        f"class E(Exception):\n    def __str__(self): return '{CANARY}'\nraise E",
        f"return '{CANARY}'",
        "return None",
    ],
)
def test_nothing_that_a_failing_provider_says_is_told(distributions: Distributions, body: str) -> None:
    install(distributions, body, "from flytepath.plugin.secrets import SecretProviderError")
    with pytest.raises(SecretProviderError, match="vault") as caught:
        resolve_secret(VAULT, VISION)
    assert not leaks(caught.value)
    assert caught.value.place == "key 'password' of group 'db', version 'v3'"


def test_what_a_provider_says_of_a_missing_secret_is_not_told_either(distributions: Distributions) -> None:
    install(distributions, f"raise SecretNotFoundError('not {CANARY}', expected='{CANARY}', hint='{CANARY}')")
    with pytest.raises(SecretNotFoundError) as caught:
        resolve_secret(VAULT, VISION)
    assert not leaks(caught.value)
    assert caught.value.expected == "the provider 'vault'"


def test_a_provider_that_fails_is_not_passed_over(
    distributions: Distributions, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(distributions, "raise ConnectionError('down')")
    (distributions.work / "flytepath.toml").write_text("[secrets]\ndefault = ['vault', 'env']")
    monkeypatch.setenv("FLYTEPATH_SECRET_DB_PASSWORD", "another")
    with pytest.raises(SecretProviderError, match="ConnectionError"):
        resolve_secret(PASSWORD)


def test_nothing_is_logged(
    distributions: Distributions, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("FLYTEPATH_SECRET_DB_PASSWORD", CANARY)
    with caplog.at_level(logging.DEBUG):
        assert resolve_secret(PASSWORD) == CANARY.encode()
    assert CANARY not in caplog.text


# --- the keyring ---


@pytest.fixture
def ring() -> Any:
    keyring = pytest.importorskip("keyring")
    backend = pytest.importorskip("keyring.backend")
    errors = pytest.importorskip("keyring.errors")

    class InMemory(backend.KeyringBackend):  # type: ignore[misc]
        priority = 1

        def __init__(self) -> None:
            super().__init__()
            self.kept: dict[tuple[str, str], str] = {}
            self.failure: Exception | None = None

        def get_password(self, service: str, username: str) -> str | None:
            if self.failure is not None:
                raise self.failure
            return self.kept.get((service, username))

        def set_password(self, service: str, username: str, password: str) -> None:
            self.kept[service, username] = password

        def delete_password(self, service: str, username: str) -> None:
            raise errors.PasswordDeleteError(username)

    before = keyring.get_keyring()
    made = InMemory()
    keyring.set_keyring(made)
    yield made
    keyring.set_keyring(before)


def from_ring(group: str, key: str, tenant: Tenant = VISION, version: str = "") -> bytes:
    return resolve_secret(SecretReference(group, key, "keyring", version), tenant)


def test_the_keyring_holds_secrets_for_all_and_for_tenants(ring: Any) -> None:
    import keyring

    keyring.set_password("flytepath/db", "password", "for all")
    assert from_ring("db", "password") == b"for all"
    keyring.set_password("flytepath/vision/production/db", "password", "for vision")
    keyring.set_password("flytepath/db", "password@v2", "new")
    keyring.set_password("flytepath", "token", "ungrouped")
    assert from_ring("db", "password") == b"for vision"
    assert from_ring("db", "password", SPEECH) == b"for all"
    assert from_ring("db", "password", version="v2") == b"new"
    assert from_ring("", "token") == b"ungrouped"
    for group in ("vision/production/db", "vision"):
        with pytest.raises(SecretNotFoundError):
            from_ring(group, "password", SPEECH)


def test_a_keyring_that_has_it_not_names_its_entries(ring: Any) -> None:
    with pytest.raises(SecretNotFoundError) as caught:
        from_ring("db", "password")
    assert "the keyring's flytepath/vision/production/db password" in (caught.value.expected or "")


def test_a_keyring_that_fails_says_how_and_no_more(ring: Any) -> None:
    from keyring import errors

    for failure, told in (
        (errors.NoKeyringError(CANARY), "no keyring"),
        (errors.KeyringLocked(CANARY), "locked"),
        (errors.InitError(CANARY), "InitError"),
        (RuntimeError(CANARY), "RuntimeError"),
    ):
        ring.failure = failure
        with pytest.raises(SecretProviderError, match=told) as caught:
            from_ring("db", "password")
        assert not leaks(caught.value)


def test_a_keyring_that_is_not_installed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for name in [name for name in sys.modules if name.partition(".")[0] == "keyring"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(SecretProviderError) as caught:
        from_ring("db", "password")
    assert "pip install 'flytepath[keyring]'" in (caught.value.hint or "")
