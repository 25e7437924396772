"""Look-ups: who provides what, by name, by Python type, by what it applies to."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
from fake_distributions import Distributions, task_type
from flytepath.engine.secrets.environment import EnvironmentSecrets
from flytepath.errors import PluginError, PluginNotFoundError, PluginQuarantinedError
from flytepath.model.identity import Tenant
from flytepath.plugin.manager import PluginManager, current, set_current
from flytepath.plugin.secrets import SecretNotFoundError, SecretReference

RICH = """
    @hookimpl
    def flytepath_task_types():
        return [TaskTypeDeclaration(name="rich", task_type="flyte_plugin_rich.task:Type",
                                    config="flyte_plugin_rich.task:Config", default_backend="cloud")]

    @hookimpl
    def flytepath_transformers():
        return [
            TransformerDeclaration(python_types=("flyte_plugin_rich.task.Exact",), transformer="x:E", format="e"),
            TransformerDeclaration(
                python_types=("flyte_plugin_rich.task.Base",), transformer="x:S", format="s", match="subclass"),
            TransformerDeclaration(
                python_types=("flyte_plugin_rich.task.Box",), transformer="x:O", format="o", match="origin"),
        ]

    @hookimpl
    def flytepath_dataframe_codecs():
        return [DataframeCodecDeclaration(frame_type="flyte_plugin_rich.task.Base", scheme="s3", format="parquet",
                                          encoder="x:encode", decoder="x:decode")]

    @hookimpl
    def flytepath_boundary_checks():
        return [BoundaryCheckDeclaration(marker="flyte_plugin_rich.task.Base", checker="x:C", side="reading")]

    @hookimpl
    def flytepath_task_wrappers():
        return [
            TaskWrapperDeclaration(name="late", wrapper="x:l", order=200),
            TaskWrapperDeclaration(name="early", wrapper="x:e", order=1, required=True),
            TaskWrapperDeclaration(name="picky", wrapper="x:p",
                                   applies_to=AppliesTo(task_types=("py*",), projects=("ml",))),
        ]

    @hookimpl
    def flytepath_resource_policies():
        return [ResourcePolicyDeclaration(name="cap", policy="x:cap", applies_to=AppliesTo(backends=("cloud",)))]

    @hookimpl
    def flytepath_backends():
        return [BackendDeclaration(name="cloud", backend="x:B", idempotency="A", poll=PollPolicy(first=2.0),
                                   rate_limits=(RateLimit(per_second=3.0),),
                                   pools=(PoolDeclaration(name="p", limit=4),))]

    @hookimpl
    def flytepath_renderers():
        return [RendererDeclaration(task_type="rich", backend="cloud", renderer="x:R")]

    @hookimpl
    def flytepath_secret_providers():
        return [SecretProviderDeclaration(scheme="vault", provider="x:V")]

    @hookimpl
    def flytepath_blob_stores():
        return [BlobStoreDeclaration(scheme="mem", store="x:M")]

    @hookimpl
    def flytepath_event_sinks():
        return [EventSinkDeclaration(name="sink", sink="x:S")]

    @hookimpl
    def flytepath_deck_renderers():
        return [DeckRendererDeclaration(python_type="flyte_plugin_rich.task.Base", renderer="x:D")]

    @hookimpl
    def flytepath_cli_commands():
        return [CliCommandDeclaration(name="rich", command="x:c", help="Say it.")]

    @hookimpl
    def flytepath_migrations():
        return [MigrationDeclaration(source="flytekitplugins.rich", target="flyte_plugin_rich", names=(("A", "B"),))]
"""

CLASSES = """
from typing import Generic, TypeVar
T = TypeVar("T")
class Config: pass
class Child(Config): pass
class Exact: pass
class ExactChild(Exact): pass
class Base: pass
class Leaf(Base): pass
class Box(Generic[T]): pass
class Stranger: pass
"""


@pytest.fixture
def rich(distributions: Distributions) -> tuple[PluginManager, Any]:
    path = distributions.add("rich", RICH)
    (path.parent / "task.py").write_text(CLASSES)
    importlib.invalidate_caches()
    return PluginManager.load(), importlib.import_module("flyte_plugin_rich.task")


def test_everything_declared_is_found_again_as_it_was(rich: tuple[PluginManager, Any]) -> None:
    manager, _ = rich
    backend = manager.backend("cloud").declaration
    assert (backend.poll.first, backend.rate_limits[0].per_second, backend.pools[0].limit) == (2.0, 3.0, 4)
    assert manager.task_type("rich").declaration.default_backend == "cloud"
    assert manager.renderer("rich", "cloud").declaration.renderer == "x:R"
    assert manager.secret_provider("vault").declaration.provider == "x:V"
    assert manager.blob_store("mem").declaration.store == "x:M"
    assert [claim.declaration.name for claim in manager.event_sinks()] == ["sink"]
    assert [claim.declaration.help for claim in manager.cli_commands()] == ["Say it."]
    assert [claim.declaration.names for claim in manager.migrations()] == [(("A", "B"),)]
    (record,) = [item for item in manager.plugins if item.name == "rich"]
    assert len(record.declarations) == 14


def test_a_subclass_of_a_configuration_belongs_to_its_parents_task_type(rich: tuple[PluginManager, Any]) -> None:
    manager, classes = rich
    assert manager.task_type_for(classes.Config).declaration.name == "rich"
    assert manager.task_type_for(classes.Child).plugin == "rich"
    with pytest.raises(PluginNotFoundError):
        manager.task_type_for(classes.Stranger)


def test_transformers_match_exactly_by_base_and_by_origin(rich: tuple[PluginManager, Any]) -> None:
    manager, classes = rich

    def fmt(python_type: Any) -> str | None:
        claim = manager.transformer_for(python_type)
        return claim.declaration.format if claim else None

    assert fmt(classes.Exact) == "e"
    assert fmt(classes.ExactChild) is None
    assert (fmt(classes.Base), fmt(classes.Leaf)) == ("s", "s")
    assert (fmt(classes.Box), fmt(classes.Box[int])) == ("o", "o")
    assert fmt(classes.Stranger) is None


def test_markers_decks_and_frames_are_found_by_class(rich: tuple[PluginManager, Any]) -> None:
    manager, classes = rich
    for found in (manager.boundary_check_for(classes.Leaf), manager.deck_renderer_for(classes.Leaf)):
        assert found is not None
        assert found.plugin == "rich"
    assert manager.boundary_check_for(classes.Stranger) is None
    assert manager.deck_renderer_for(classes.Stranger) is None
    assert manager.dataframe_codec(classes.Base, "s3", "parquet").declaration.encoder == "x:encode"
    with pytest.raises(PluginNotFoundError, match="parquet"):
        manager.dataframe_codec(classes.Base, "gs", "parquet")


def test_wrappers_and_policies_apply_by_filter_order_and_tenant(
    distributions: Distributions, rich: tuple[PluginManager, Any]
) -> None:
    manager, _ = rich

    def names(task: str, tenant: Tenant | None) -> list[str]:
        return [claim.declaration.name for claim in manager.task_wrappers(task, "local", tenant)]

    assert names("python", None) == ["early", "late"]
    assert names("python", Tenant("ml")) == ["early", "picky", "late"]
    assert names("spark", Tenant("ml")) == ["early", "late"]
    assert [c.declaration.name for c in manager.resource_policies("python", "cloud", None)] == ["cap"]
    assert manager.resource_policies("python", "local", None) == ()
    distributions.configure("[projects.ml.plugins]\ndeny = ['rich']")
    assert PluginManager.load().task_wrappers("python", "local", Tenant("ml")) == ()


def test_an_unknown_name_suggests_the_nearest(rich: tuple[PluginManager, Any]) -> None:
    manager, _ = rich
    with pytest.raises(PluginNotFoundError) as caught:
        manager.backend("clod")
    assert caught.value.hint == "did you mean 'cloud'?"
    with pytest.raises(PluginNotFoundError, match="renderer of task type 'rich' for backend 'moon'"):
        manager.renderer("rich", "moon")


def test_an_unknown_configuration_says_what_to_install(distributions: Distributions) -> None:
    config = type("Spark", (), {"__module__": "flyte_plugin_spark.task"})
    with pytest.raises(PluginNotFoundError) as caught:
        PluginManager.load().task_type_for(config)
    assert caught.value.hint == "pip install flyte-plugin-spark"


def test_the_configuration_of_a_denied_plugin_says_how_to_enable_it(distributions: Distributions) -> None:
    distributions.add("spark")
    distributions.configure("[plugins]\ndeny = ['spark']")
    config = type("Spark", (), {"__module__": "flyte_plugin_spark.task"})
    with pytest.raises(PluginNotFoundError) as caught:
        PluginManager.load().task_type_for(config)
    assert "flytepath plugins enable spark" in (caught.value.hint or "")
    assert "plugins.deny" in (caught.value.place or "")


def test_the_configuration_of_a_broken_plugin_names_its_cause(distributions: Distributions) -> None:
    distributions.add("spark", "raise RuntimeError('no java')")
    config = type("Spark", (), {"__module__": "flyte_plugin_spark.task"})
    with pytest.raises(PluginQuarantinedError, match="no java"):
        PluginManager.load().task_type_for(config)


def test_a_configuration_may_be_declared_where_its_package_offers_it(distributions: Distributions) -> None:
    manifest = """
        @hookimpl
        def flytepath_task_types():
            return [TaskTypeDeclaration(name="spark", task_type="a:b", config="flyte_plugin_spark:Spark")]
    """
    path = distributions.add("spark", manifest)
    (path.parent / "task.py").write_text("class Spark: pass")
    (path.parent / "__init__.py").write_text("from flyte_plugin_spark.task import Spark")
    importlib.invalidate_caches()
    spark = importlib.import_module("flyte_plugin_spark").Spark
    assert PluginManager.load().task_type_for(spark).plugin == "spark"


@pytest.mark.parametrize(
    "reference, text",
    [
        ("nonsense", "is not a reference"),
        ("no_such_module:x", "No module named"),
        ("json:no_such_name", "AttributeError"),
        ("flyte_plugin_bad.plugin:x", "ZeroDivisionError"),
    ],
)
def test_a_reference_that_does_not_resolve_is_a_clear_error(
    distributions: Distributions, reference: str, text: str
) -> None:
    distributions.add("bad", "1 / 0")
    importlib.invalidate_caches()
    with pytest.raises(PluginError, match=text) as caught:
        PluginManager().resolve(reference)
    assert caught.value.hint


def test_a_reference_is_imported_when_asked_for() -> None:
    assert PluginManager().resolve("flytepath.plugin.task_type:TaskType").__name__ == "TaskType"


def test_the_process_has_one_manager_that_can_be_replaced(distributions: Distributions, tmp_path: Path) -> None:
    before = set_current(None)
    try:
        own = current()
        assert current() is own
        other = PluginManager(home=tmp_path)
        assert set_current(other) is own
        assert current() is other
    finally:
        set_current(before)


def test_everything_core_declares_resolves(distributions: Distributions) -> None:
    manager = PluginManager.load()
    assert manager.resolve(manager.secret_provider("env").declaration.provider) is EnvironmentSecrets
    assert isinstance(manager.resolve(manager.task_type("python").declaration.task_type)(), object)
    assert manager.resolve(manager.blob_store("file").declaration.store).__name__ == "FileBlobStore"
    core = next(item for item in manager.plugins if item.name == "flytepath")
    assert core.state == "enabled"


def test_secrets_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    provider, reference = EnvironmentSecrets(), SecretReference("db", "pass-word")
    with pytest.raises(SecretNotFoundError) as caught:
        provider.get(reference, Tenant())
    assert "FLYTEPATH_SECRET_DB_PASS_WORD" in (caught.value.expected or "")
    monkeypatch.setenv("FLYTEPATH_SECRET_DB_PASS_WORD", "ours")
    assert provider.get(reference, Tenant()) == b"ours"
    monkeypatch.setenv("_FSEC_DB_PASS_WORD", "flytekit's")
    assert provider.get(reference, Tenant()) == b"flytekit's"


def test_names_of_task_types_are_not_those_of_configurations(distributions: Distributions) -> None:
    distributions.add("spark", task_type("spark"))
    with pytest.raises(PluginNotFoundError) as caught:
        PluginManager.load().task_type("sparc")
    assert caught.value.hint == "did you mean 'spark'?"
