"""Python functions as training jobs, from ``flytepath run`` to containers that run, and what happens to them there."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flyte_plugin_sagemaker.testing import SageMakerDouble
from sm_platform import Platform

FLOW = """
    from __future__ import annotations

    import os
    import time
    from pathlib import Path

    from flyte_plugin_sagemaker import SagemakerTraining
    from flytepath import FlyteFile, Resources, Retry, Secret, current_context, map_task, task, workflow


    def until(name: str) -> None:
        end = time.monotonic() + 100
        while not (Path(os.environ["FLAGS"]) / name).exists():
            assert time.monotonic() < end
            time.sleep(0.02)


    def times(name: str) -> int:
        path = Path(os.environ["FLAGS"]) / f"times-{name}-{os.getpid()}"
        path.touch()
        return len(list(path.parent.glob(f"times-{name}-*")))


    @task(task_config=SagemakerTraining(instance_type="ml.m5.xlarge"), environment={"UNIT": "mm"})
    def train(epochs: int) -> float:
        print(f"training for {epochs} epochs in {os.environ['UNIT']}")
        return epochs / 2

    @task(backend="sagemaker")
    def weights(loss: float) -> FlyteFile:
        path = Path("weights.txt")
        path.write_text(f"loss {loss}")
        return FlyteFile(str(path))

    @task
    def size(file: FlyteFile) -> str:
        return Path(file).read_text()

    @task(task_config=SagemakerTraining())
    def broken(x: int) -> int:
        print("about to fail")
        raise ValueError(f"{x} is no good")

    @task(task_config=SagemakerTraining(), retries=2)
    def third_time(x: int) -> int:
        if times("third") < 3:
            raise ValueError("not yet")
        return x

    @task(task_config=SagemakerTraining())
    def item(x: int) -> int:
        return x * 10

    @task(task_config=SagemakerTraining(), timeout=2)
    def slow(x: int) -> int:
        time.sleep(100)
        return x

    @task(task_config=SagemakerTraining())
    def waits(x: int) -> int:
        until("go")
        return x

    @task(task_config=SagemakerTraining(instance_count=3))
    def gang(x: int) -> str:
        host = current_context().sagemaker
        print(f"I am {host.current_host} of {len(host.hosts)}")
        (Path(os.environ["FLAGS"]) / f"rank-{host.rank}").touch()
        for rank in range(host.world_size):
            until(f"rank-{rank}")
        return f"{host.current_host} of {host.world_size}: {x}"

    @task(task_config=SagemakerTraining(instance_count=2))
    def gang_fails(x: int) -> int:
        host = current_context().sagemaker
        if host.rank == 1:
            raise KeyError("only the second")
        time.sleep(60)
        return x

    @task(task_config=SagemakerTraining(spot=True))
    def resumes(steps: int) -> list[int]:
        checkpoint = current_context().checkpoint
        state = checkpoint.load() or {"step": 0, "starts": 0}
        state = {**state, "starts": state["starts"] + 1}
        while state["step"] < steps:
            state = {**state, "step": state["step"] + 1}
            checkpoint.save(state, step=state["step"])
            if state["step"] == 3 and state["starts"] == 1:
                (Path(os.environ["FLAGS"]) / "halfway").touch()
                until("never")
        return [state["step"], state["starts"]]

    @task(task_config=SagemakerTraining(spot=True))
    def keeps_files(x: int) -> str:
        folder = Path(os.environ["SAGEMAKER_BASE_DIR"]) / "checkpoints"
        found = folder / "epoch.txt"
        if not found.exists():
            found.write_text("7")
            (Path(os.environ["FLAGS"]) / "halfway").touch()
            until("never")
        return found.read_text()

    @task(task_config=SagemakerTraining(), cache=True, cache_version="1")
    def cached(x: int) -> int:
        times("cached")
        return x + 1

    @task(task_config=SagemakerTraining(), secret_requests=[Secret("db", "password")], enable_deck=True)
    def secretive(x: int) -> int:
        from flytepath import Deck
        Deck("curve", "<b>going down</b>")
        secret = current_context().secrets.get("db", "password")
        print(f"it is {secret}")
        return len(secret)

    @task(backend="sagemaker", retries=Retry(0, system=0))
    def killed(x: int) -> int:
        os.kill(os.getpid(), 9)
        return x

    @workflow
    def pipeline(epochs: int) -> str:
        return size(file=weights(loss=train(epochs=epochs)))

    @workflow
    def failing(x: int) -> int:
        return broken(x=x)

    @workflow
    def retried(x: int) -> int:
        return third_time(x=x)

    @workflow
    def mapped(xs: list[int]) -> list[int]:
        return map_task(item)(x=xs)

    @workflow
    def late(x: int) -> int:
        return slow(x=x)

    @workflow
    def waiting(x: int) -> int:
        return waits(x=x)

    @workflow
    def together(x: int) -> str:
        return gang(x=x)

    @workflow
    def together_fails(x: int) -> int:
        return gang_fails(x=x)

    @workflow
    def resuming(steps: int) -> list[int]:
        return resumes(steps=steps)

    @workflow
    def keeping(x: int) -> str:
        return keeps_files(x=x)

    @workflow
    def caching(x: int) -> int:
        return cached(x=x)

    @workflow
    def telling(x: int) -> int:
        return secretive(x=x)

    @workflow
    def dying(x: int) -> int:
        return killed(x=x)

    @workflow
    def overridden(epochs: int) -> float:
        config = SagemakerTraining(instance_type="ml.m5.4xlarge", volume_gb=77)
        return train(epochs=epochs).with_overrides(task_config=config)

    @workflow
    def recovered(x: int) -> int:
        return waits(x=cached(x=x))
"""


@pytest.fixture
def platform(sagemaker_double: SageMakerDouble, tmp_path: Path) -> Iterator[Platform]:
    made = Platform(sagemaker_double, tmp_path, FLOW)
    yield made
    made.until(made.is_empty, "all jobs to end: nothing outlives its execution")


def test_functions_run_as_training_jobs_and_their_values_travel_through_s3(platform: Platform) -> None:
    assert "loss 2.0" in platform.run("pipeline", "--epochs", "4")
    first, second = platform.double.training.made
    assert first["ResourceConfig"]["InstanceType"] == "ml.m5.xlarge"
    assert first["Environment"]["UNIT"] == "mm"
    assert second["ResourceConfig"]["InstanceType"] == "ml.m5.large"
    told = platform.called("executions", "logs", platform.latest())
    assert "training for 4 epochs in mm" in told


@pytest.mark.proof
def test_an_error_of_the_user_comes_back_whole(platform: Platform) -> None:
    told = platform.run("failing", "--x", "4", status=1)
    assert "ValueError" in told
    assert "4 is no good" in told
    assert "about to fail" in platform.called("executions", "logs", platform.latest())
    assert len(platform.double.training.made) == 1


@pytest.mark.proof
def test_attempts_that_fail_are_made_again_under_other_names(platform: Platform) -> None:
    assert "o0 = 7" in platform.run("retried", "--x", "7")
    assert len({request["TrainingJobName"] for request in platform.double.training.made}) == 3


@pytest.mark.proof
def test_a_map_is_one_job_for_each_item(platform: Platform) -> None:
    assert "o0 = [10, 20, 30]" in platform.run("mapped", "--xs", "[1, 2, 3]")
    assert len(platform.double.training.made) == 3


@pytest.mark.proof
def test_what_takes_too_long_is_stopped(platform: Platform) -> None:
    told = platform.run("late", "--x", "1", status=1)
    assert "FP-TIMEOUT" in told
    [job] = platform.double.training.jobs.values()
    assert job.status in ("Stopping", "Stopped")


@pytest.mark.proof
def test_all_machines_run_the_function_and_the_first_gives_the_result(platform: Platform) -> None:
    assert "algo-1 of 3: 5" in platform.run("together", "--x", "5")
    told = platform.called("executions", "logs", platform.latest())
    assert all(f"I am algo-{number} of 3" in told for number in (1, 2, 3)), told


@pytest.mark.proof
def test_the_error_of_any_machine_is_the_tasks(platform: Platform) -> None:
    told = platform.run("together_fails", "--x", "5", status=1)
    assert "only the second" in told


def test_a_spot_job_that_is_interrupted_goes_on_from_its_checkpoint(platform: Platform) -> None:
    process = platform.start("run", "sm_flow.py", "resuming", "--steps", "5")
    platform.until((platform.flags / "halfway").exists, "half of the training")
    [job] = platform.training()
    platform.double.training.interrupt(job.name)
    assert "[5, 2]" in platform.ended(process)
    assert len(platform.double.training.made) == 1


@pytest.mark.proof
def test_spot_machines_that_do_not_come_back_in_time_are_followed_by_another_job(platform: Platform) -> None:
    process = platform.start("run", "sm_flow.py", "resuming", "--steps", "5")
    platform.until((platform.flags / "halfway").exists, "half of the training")
    [job] = platform.training()
    platform.double.training.end(job.name, "MaxWaitTimeExceeded")
    assert "[5, 2]" in platform.ended(process)
    assert len(platform.double.training.made) == 2


@pytest.mark.proof
def test_files_in_the_folder_of_checkpoints_come_back(platform: Platform) -> None:
    process = platform.start("run", "sm_flow.py", "keeping", "--x", "1")
    platform.until((platform.flags / "halfway").exists, "half of the training")
    [job] = platform.training()
    platform.double.training.interrupt(job.name)
    assert "7" in platform.ended(process)


@pytest.mark.proof
def test_a_cached_result_asks_for_no_machine(platform: Platform) -> None:
    assert "o0 = 2" in platform.run("caching", "--x", "1")
    assert "o0 = 2" in platform.run("caching", "--x", "1")
    assert len(platform.double.training.made) == 1


@pytest.mark.proof
def test_secrets_stay_out_of_the_request_and_decks_come_back(platform: Platform) -> None:
    platform.double.training.image_environment["_FSEC_DB_PASSWORD"] = "swordfish"
    assert "o0 = 9" in platform.run("telling", "--x", "1")
    assert "swordfish" not in json.dumps(platform.double.training.made)
    told = platform.called("executions", "logs", platform.latest())
    assert "it is" in told
    assert "swordfish" not in told
    [job] = platform.double.training.jobs.values()
    assert not any("swordfish" in line for line in job.lines)
    assert "curve" in platform.called("executions", "deck", platform.latest())


@pytest.mark.proof
def test_a_secret_that_the_machine_has_not_is_named(platform: Platform) -> None:
    assert "password" in platform.run("telling", "--x", "1", status=1)


@pytest.mark.proof
def test_a_job_of_which_nothing_is_left_is_told_as_lost(platform: Platform) -> None:
    told = platform.run("dying", "--x", "1", status=1)
    assert "137" in told


@pytest.mark.proof
def test_an_override_chooses_other_machines(platform: Platform) -> None:
    assert "o0 = 2" in platform.run("overridden", "--epochs", "4")
    [made] = platform.double.training.made
    assert made["ResourceConfig"]["InstanceType"] == "ml.m5.4xlarge"
    assert made["ResourceConfig"]["VolumeSizeInGB"] == 77


@pytest.mark.proof
def test_an_abort_stops_the_job(platform: Platform) -> None:
    process = platform.start("run", "sm_flow.py", "waiting", "--x", "5")
    [job] = platform.until(platform.training, "a running job")
    platform.called("executions", "abort", platform.latest())
    process.communicate(timeout=60)
    platform.until(lambda: job.status == "Stopped", "the job to be stopped")


@pytest.mark.proof
def test_an_engine_that_is_killed_is_gone_on_with(platform: Platform) -> None:
    process = platform.start("run", "sm_flow.py", "waiting", "--x", "5")
    platform.until(platform.training, "a running job")
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    platform.flag("go")
    assert "o0 = 5" in platform.called("executions", "resume", platform.latest())
    assert len(platform.double.training.made) == 1


@pytest.mark.proof
def test_what_succeeded_is_not_run_again_when_it_is_recovered(platform: Platform) -> None:
    process = platform.start("run", "sm_flow.py", "recovered", "--x", "1")
    [job] = platform.until(lambda: [job for job in platform.training() if "waits" in job.name], "the second job to run")
    platform.double.training.end(job.name, "Failed", "AlgorithmError: , exit code: 1")
    job.containers[0].kill()
    platform.ended(process, status=1)
    platform.flag("go")
    assert "o0 = 2" in platform.called("executions", "recover", platform.latest())
    assert sum("cached" in made["TrainingJobName"] for made in platform.double.training.made) == 1


def tags(request: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in request["Tags"]}


@pytest.mark.proof
def test_a_job_says_whose_it_is(platform: Platform) -> None:
    platform.run("caching", "--x", "1")
    [made] = platform.double.training.made
    found = tags(made)
    assert found["flytepath:execution"] == platform.latest()
    assert found["flytepath:key"].startswith("sha256:")
    assert len(found["flytepath:digest"]) == 64
