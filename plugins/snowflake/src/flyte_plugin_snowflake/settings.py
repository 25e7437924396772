"""The settings of the backend: the table ``[backends.snowflake]``."""

from __future__ import annotations

from flytepath.plugin import SecretReference
from pydantic import BaseModel, ConfigDict, Field, model_validator

from flyte_plugin_snowflake.authentication import SECRETS, refused


class SnowflakeSettings(BaseModel):
    """The table ``[backends.snowflake]``, of everybody, of a project or of a domain.

    Attributes:
        account: the account identifier, as ``organization-account``.
        user, role, warehouse, database, schema_name: used where a task names none. The key of the last is ``schema``.
        password, private_key, private_key_passphrase, token: references to the secrets that open the account; one of
            password, key and token is enough.
        authenticator: the connector's word for how to log in, where the kind of the secret does not say it.
        host, port, protocol: another address than the one that follows from the account.
        login_seconds, answer_seconds: how long a login, and any other answer, is waited for.
        history_hours: how far back queries are searched for by their tag; Snowflake shows seven days.
        history_page: how many rows of the history are asked for at once; Snowflake gives 10,000 at the most.
        missing_seconds: a query that the service shows nothing of for so long counts as gone.
        calls_per_second, burst: how many calls a second are made for one user of the account, by all engines together,
            and how many at once after a pause.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    account: str = ""
    user: str = ""
    role: str = ""
    warehouse: str = ""
    database: str = ""
    schema_name: str = Field("", alias="schema")
    password: SecretReference | None = None
    private_key: SecretReference | None = None
    private_key_passphrase: SecretReference | None = None
    token: SecretReference | None = None
    authenticator: str = ""
    host: str = ""
    port: int = Field(0, ge=0, le=65535)
    protocol: str = Field("https", pattern="^https?$")
    login_seconds: int = Field(30, ge=1)
    answer_seconds: int = Field(60, ge=1)
    history_hours: int = Field(7 * 24, ge=1, le=7 * 24)
    history_page: int = Field(10_000, ge=2, le=10_000)
    missing_seconds: float = Field(60.0, ge=0)
    calls_per_second: float = Field(20.0, gt=0)
    burst: int = Field(40, ge=1)

    @model_validator(mode="after")
    def _one_way_to_log_in(self) -> SnowflakeSettings:
        wrong = refused(self.authenticator, [name for name in SECRETS if getattr(self, name) is not None])
        if wrong is not None:
            raise ValueError(f"{wrong[0]}; expected {wrong[1]}")
        return self
