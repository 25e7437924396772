"""Containers as local processes: SageMaker's folders, variables, logs, and what is uploaded when they end.

What a container finds and leaves: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo.html
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flyte_plugin_sagemaker.testing.server import SageMakerDouble

Json = Any


class Container:
    """One machine's container.

    Args:
        double: whose S3 and logs it speaks to.
        job: the request of the job.
        host: the machine's name.
        hosts: all of them.
        folder: in place of ``/opt/ml``.
        group: the log group.
        stream: the log stream.
    """

    def __init__(
        self,
        double: SageMakerDouble,
        job: Mapping[str, Json],
        host: str,
        hosts: list[str],
        folder: Path,
        group: str,
        stream: str,
    ) -> None:
        self.host = host
        self.lines: list[str] = []
        self._double = double
        self._job = job
        self._folder = folder
        self._place = (group, stream)
        self._set_up(hosts)
        specification = job["AlgorithmSpecification"]
        command = [*specification.get("ContainerEntrypoint", ["train"]), *specification.get("ContainerArguments", [])]
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, name=f"log of {stream}", daemon=True)
        self._reader.start()

    def _environment(self) -> dict[str, str]:
        job = self._job
        return {
            # "python" is this one, as it is that of the image there.
            "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self._folder),
            "LANG": "C.UTF-8",
            **self._double.environment(),
            **self._double.training.image_environment,
            **job.get("Environment", {}),
            "SAGEMAKER_BASE_DIR": str(self._folder),
            "TRAINING_JOB_NAME": job["TrainingJobName"],
            "TRAINING_JOB_ARN": f"arn:aws:sagemaker:us-east-1:123456789012:training-job/{job['TrainingJobName']}",
        }

    def _set_up(self, hosts: list[str]) -> None:
        for name in ("input/config", "input/data", "model", "output", "checkpoints"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        config = self._folder / "input" / "config"
        said = {"current_host": self.host, "hosts": hosts, "network_interface_name": "lo"}
        (config / "resourceconfig.json").write_text(json.dumps(said))
        (config / "hyperparameters.json").write_text(json.dumps(self._job.get("HyperParameters", {})))
        channels = {}
        for channel in self._job.get("InputDataConfig", []):
            channels[channel["ChannelName"]] = {"TrainingInputMode": "File"}
            source = channel["DataSource"]["S3DataSource"]["S3Uri"]
            download(self._double, source, self._folder / "input" / "data" / channel["ChannelName"])
        (config / "inputdataconfig.json").write_text(json.dumps(channels))
        checkpoints = self._job.get("CheckpointConfig")
        if checkpoints:
            download(self._double, checkpoints["S3Uri"], self._folder / "checkpoints")

    def _read(self) -> None:
        stream = self._process.stdout
        if stream is None:
            return
        logs = self._double.client("logs")
        group, name = self._place
        with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
            logs.create_log_group(logGroupName=group)
        logs.create_log_stream(logGroupName=group, logStreamName=name)
        with stream:
            for raw in stream:
                line = raw.decode(errors="replace").rstrip("\n")
                self.lines.append(line)
                event = {"timestamp": int(time.time() * 1000), "message": line or " "}
                logs.put_log_events(logGroupName=group, logStreamName=name, logEvents=[event])

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def wait(self, seconds: float | None = None) -> int | None:
        """Its exit code as a container's; ``None`` where it has not ended in time."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        self._signal(signal.SIGKILL)  # what it left running ends with the container
        self._reader.join(10)
        return 128 - code if code < 0 else code

    def stop(self, seconds: float) -> None:
        """SIGTERM, and SIGKILL when the time is over."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
            if self.wait(seconds) is None:
                self._signal(signal.SIGKILL)
                self.wait()

    def kill(self) -> None:
        """SIGKILL: the machine is gone."""
        self._signal(signal.SIGKILL)
        self.wait()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def failure(self) -> str:
        """What it wrote to ``/opt/ml/output/failure``, of which SageMaker tells the first 1024 letters."""
        path = self._folder / "output" / "failure"
        return path.read_text(errors="replace")[:1024] if path.is_file() else ""

    def keep_checkpoints(self) -> None:
        """What lies in the folder of checkpoints, SageMaker has in S3."""
        config = self._job.get("CheckpointConfig")
        if config:
            upload(self._double, self._folder / "checkpoints", config["S3Uri"])

    def keep_model(self) -> None:
        """The model artifact, where the container left anything."""
        files = [path for path in sorted((self._folder / "model").rglob("*")) if path.is_file()]
        if not files:
            return
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for path in files:
                archive.add(path, path.relative_to(self._folder / "model").as_posix())
        bucket, key = split(self._job["OutputDataConfig"]["S3OutputPath"])
        key = f"{key}/{self._job['TrainingJobName']}/output/model.tar.gz".lstrip("/")
        self._double.client("s3").put_object(Bucket=bucket, Key=key, Body=packed.getvalue())


def split(uri: str) -> tuple[str, str]:
    """Bucket and key of an ``s3://`` address."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key.rstrip("/")


def download(double: SageMakerDouble, uri: str, folder: Path) -> None:
    """Everything below a prefix, as files."""
    bucket, prefix = split(uri)
    s3 = double.client("s3")
    folder.mkdir(parents=True, exist_ok=True)
    for found in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", []):
        inside = found["Key"].removeprefix(prefix).lstrip("/") or Path(found["Key"]).name
        path = folder / inside
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(s3.get_object(Bucket=bucket, Key=found["Key"])["Body"].read())


def upload(double: SageMakerDouble, folder: Path, uri: str) -> None:
    """Every file of a folder, below a prefix."""
    bucket, prefix = split(uri)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            key = f"{prefix}/{path.relative_to(folder).as_posix()}".lstrip("/")
            double.client("s3").put_object(Bucket=bucket, Key=key, Body=path.read_bytes())


__all__ = ["Container", "download", "split", "upload"]
