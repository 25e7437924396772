"""Calls of AWS: one door, with botocore's own retries off, because core retries, and every failure an ``ApiError``."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final

from flyte_plugin_sagemaker.api_errors import ApiError, api_error
from flyte_plugin_sagemaker.errors import MissingAwsLibraryError
from flyte_plugin_sagemaker.service_models import session_of_models
from flyte_plugin_sagemaker.settings import SageMakerSettings

Json = Any

_KEPT: Final = 8
#: They write whole signed requests, a session's token among the headers, into the log of whoever turns DEBUG on.
_TELLING: Final = ("botocore.auth", "botocore.endpoint")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What signs a call; empty: whatever boto3's own chain finds. It shows nothing of itself."""

    access_key_id: str = field(default="", repr=False)
    secret_access_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)

    @property
    def digest(self) -> str:
        """Which they are, without saying them."""
        text = "\0".join((self.access_key_id, self.secret_access_key, self.session_token))
        return hashlib.sha256(text.encode()).hexdigest()


class Clients:
    """boto3's clients of one account, made once for each service and set of credentials; safe in threads.

    Args:
        settings: where the services are.
    """

    def __init__(self, settings: SageMakerSettings) -> None:
        self.settings = settings
        self._made: OrderedDict[tuple[str, str, str], Json] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, service: str, credentials: Credentials, region: str = "") -> Json:
        """The client of a service; of the settings' region unless another is named.

        Raises:
            ApiError: there is no region, or no such profile.
            MissingAwsLibraryError: boto3 is not installed.
        """
        place = (service, credentials.digest, region)
        # Made under the lock: botocore's loader and sessions are not made for threads.
        with self._lock:
            client = self._made.get(place)
            if client is None:
                client = self._made[place] = _client(service, self.settings, credentials, region)
                if len(self._made) > _KEPT:
                    self._made.popitem(last=False)
            self._made.move_to_end(place)
            return client

    def close(self) -> None:
        """Let go of connections."""
        with self._lock:
            clients = list(self._made.values())
            self._made.clear()
        for client in clients:
            client.close()


class Api:
    """The calls of one account with one set of credentials. They block: call them in a thread.

    Args:
        clients: where clients are kept.
        credentials: what signs.
        region: another one than the settings name.
    """

    def __init__(self, clients: Clients, credentials: Credentials | None = None, region: str = "") -> None:
        self._clients = clients
        self._credentials = credentials or Credentials()
        self._region = region

    def at(self, region: str) -> Api:
        """The same account in another region; empty: where this one is."""
        return Api(self._clients, self._credentials, region) if region and region != self._region else self

    @property
    def settings(self) -> SageMakerSettings:
        """Whose account."""
        return self._clients.settings

    @property
    def region(self) -> str:
        """The region, wherever it was said."""
        return str(self.client("sagemaker").meta.region_name)

    def client(self, service: str) -> Json:
        """boto3's own client, for what :meth:`call` cannot do, such as a body that streams."""
        return self._clients.of(service, self._credentials, self._region)

    def call(self, service: str, operation: str, **parameters: Json) -> dict[str, Json]:
        """What AWS answers.

        Args:
            service: boto3's name of it, such as ``sagemaker``.
            operation: the method, such as ``describe_training_job``.

        Raises:
            ApiError: it refused, or was not reached.
        """
        try:
            answer: dict[str, Json] = getattr(self.client(service), operation)(**parameters)
        except Exception as error:
            told = api_error(error)
            if told is None:
                raise
            # botocore's own may hold the whole request.
            raise told from None
        return answer


class Pace:
    """So many calls a second, for all threads together.

    Args:
        per_second: how many.
    """

    def __init__(self, per_second: float) -> None:
        self._gap = 1.0 / per_second
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self, until: float | None = None) -> float:
        """Return when it is this call's turn.

        Args:
            until: a moment of ``time.monotonic()`` by which the turn must have come.

        Returns:
            0, or, without having waited, how many seconds too late the turn would come.
        """
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next)
            if until is not None and turn > until:
                return turn - until
            self._next = turn + self._gap
        if turn > now:
            time.sleep(turn - now)
        return 0.0


def _client(service: str, settings: SageMakerSettings, credentials: Credentials, region: str) -> Json:
    try:
        import boto3
        from botocore.config import Config
    except ImportError as error:
        raise MissingAwsLibraryError(
            "AWS is called with boto3, which is not installed",
            actual=str(error),
            hint="pip install boto3",
        ) from error
    for name in _TELLING:
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, logging.INFO))
    try:
        session = boto3.session.Session(
            botocore_session=session_of_models(),
            aws_access_key_id=credentials.access_key_id or None,
            aws_secret_access_key=credentials.secret_access_key or None,
            aws_session_token=credentials.session_token or None,
            region_name=region or settings.region or None,
            profile_name=settings.profile or None,
        )
        return session.client(
            service,
            endpoint_url=settings.endpoint_of(service),
            config=Config(
                connect_timeout=settings.connect_seconds,
                read_timeout=settings.read_seconds,
                # One request for one call: what follows a failure is decided by whoever knows the job.
                retries={"total_max_attempts": 1, "mode": "standard"},
                user_agent_extra="flytepath",
            ),
        )
    except Exception as error:
        told = api_error(error)
        if told is None:
            raise
        raise ApiError(told.code, told.message, sent=False) from None


__all__ = ["Api", "Clients", "Credentials", "Pace"]
