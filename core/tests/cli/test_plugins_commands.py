"""`flytepath plugins list | show | doctor | enable | disable`: what they say, what they change, how they end."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import pytest
from fake_distributions import Distributions, task_type

GOOD_TASK = """
from flytepath.plugin import TaskType
class Config: ...
class Type(TaskType): ...
"""


@pytest.fixture
def site(cli, tmp_path) -> Distributions:
    """Fake distributions that the command line sees."""
    fakes = Distributions(tmp_path / "site", cli.home)
    cli.env["PYTHONPATH"] = str(fakes.folder)
    return fakes


def install(site: Distributions, name: str, *, task: str = GOOD_TASK, **keywords) -> Path:
    """A plugin whose references resolve."""
    manifest = site.add(name, **keywords)
    (manifest.parent / "task.py").write_text(task)
    return manifest


def states(cli) -> dict[str, str]:
    return {item["name"]: item["state"] for item in cli.json("plugins", "list")}


def test_list_shows_every_state_in_plain_columns(cli, site):
    install(site, "alpha")
    site.add("broken", "raise RuntimeError('no luck')")
    site.add("future", group="flytepath.v9")
    site.add("unwanted", "raise SystemExit")
    cli.write("flytepath.toml", "[plugins]\ndeny = ['unwanted']\n")
    lines = cli.run("plugins", "list").stdout.splitlines()
    assert lines[0].split() == ["NAME", "VERSION", "STATE", "GIVES"]
    row = {line.split()[0]: line for line in lines}
    assert "task type alpha" in row["alpha"]
    assert "quarantined" in row["broken"]
    assert "no luck" in row["broken"]
    assert "incompatible" in row["future"]
    assert "denied" in row["unwanted"]
    assert len({line.index(word) for line, word in [(lines[0], "STATE"), (row["alpha"], "enabled")]}) == 1


def test_show_tells_everything_and_names_the_nearest(cli, site):
    install(site, "alpha", requires=("packaging>=20",))
    shown = cli.json("plugins", "show", "alpha")
    assert shown["distribution"] == "flyte-plugin-alpha"
    assert shown["requires"] == ["packaging>=20"]
    assert shown["declarations"][0]["task_type"] == "flyte_plugin_alpha.task:Type"
    text = cli.run("plugins", "show", "alpha").stdout
    assert "flyte_plugin_alpha.plugin" in text
    assert "name=alpha" in text
    said = cli.error("plugins", "show", "alpah", status=2)
    assert "FP-NOT-FOUND" in said
    assert "'alpha'" in said


def test_doctor_is_content_with_healthy_plugins(cli, site):
    install(site, "alpha", requires=("packaging>=20", "nothing-like-it; python_version < '3'"))
    answer = cli.json("plugins", "doctor")
    assert answer["healthy"]
    alpha = next(item for item in answer["plugins"] if item["name"] == "alpha")
    assert alpha["contract"] == "1.0"
    assert alpha["import_seconds"] > 0
    assert alpha["problems"] == []
    assert [item["requirement"] for item in alpha["requirements"]] == ["packaging>=20"]


def doctor_problem(cli, *arguments: str) -> str:
    done = cli.run("plugins", "doctor", *arguments, status=1)
    assert "Traceback" not in done.stderr
    return done.stdout


def test_doctor_tells_of_a_quarantined_plugin(cli, site):
    site.add("broken", "raise RuntimeError('no luck')")
    assert "no luck" in doctor_problem(cli)


@pytest.mark.parametrize("requirement", ["not-installed-anywhere>=1", "packaging>=9999"])
def test_doctor_tells_of_a_requirement_that_is_missing_or_too_old(cli, site, requirement):
    install(site, "alpha", requires=(requirement,))
    said = doctor_problem(cli)
    assert requirement in said
    assert "pip install" in said


def test_doctor_tells_of_a_reference_that_does_not_resolve(cli, site):
    install(site, "alpha", task="class Config: ...\n")
    assert "'flyte_plugin_alpha.task:Type'" in doctor_problem(cli)


def test_doctor_tells_of_a_reference_of_the_wrong_kind(cli, site):
    install(site, "alpha", task="class Config: ...\nclass Type: ...\n")
    assert "not a subclass of flytepath.plugin.TaskType" in doctor_problem(cli)


def test_doctor_does_not_wait_for_a_module_that_hangs(cli, site):
    install(site, "hanging", task="import threading\nthreading.Event().wait()\n")
    install(site, "alpha")
    said = doctor_problem(cli, "--timeout", "3")
    assert "did not resolve within 3 s" in said
    assert "alpha 1.0 [ok]" in said


def test_doctor_survives_a_module_that_ends_the_interpreter(cli, site):
    install(site, "dying", task="import os\nos._exit(3)\n")
    assert "ended the interpreter (status 3)" in doctor_problem(cli)


def test_doctor_tells_of_a_conflict_with_both_names_and_the_route(cli, site):
    install(site, "alpha")
    install(site, "beta", manifest=task_type("alpha", "flyte_plugin_beta"))
    said = doctor_problem(cli)
    assert "flyte-plugin-alpha 1.0" in said
    assert "flyte-plugin-beta 1.0" in said
    assert "task-type:alpha" in said
    cli.write("flytepath.toml", '[plugins.routes]\n"task-type:alpha" = "flyte-plugin-beta"\n')
    assert "decided by" in cli.run("plugins", "show", "alpha").stdout
    assert cli.json("plugins", "doctor")["healthy"]


def test_doctor_tells_of_a_pin_that_is_not_kept(cli, site):
    install(site, "alpha")
    cli.write("flytepath.toml", '[plugins]\npins = ["alpha >= 2"]\n')
    said = doctor_problem(cli)
    assert "alpha >= 2" in said
    assert "flytepath.toml" in said


def test_doctor_works_in_strict_mode_too(cli, site):
    site.add("broken", "raise RuntimeError('no luck')")
    cli.write("flytepath.toml", "[plugins]\nstrict = true\n")
    assert "no luck" in doctor_problem(cli)
    assert states(cli)["broken"] == "quarantined"


def test_doctor_warns_of_a_heavy_import_without_failing(cli, site):
    install(site, "alpha", manifest="import email, click\n" + task_type("alpha").replace("\n        ", "\n"))
    done = cli.run("plugins", "doctor")
    assert "warning: the manifest imports click" in done.stdout


def test_doctor_leaves_denied_plugins_alone(cli, site):
    site.add("unwanted", "raise RuntimeError")
    cli.write("flytepath.toml", "[plugins]\ndeny = ['unwanted']\n")
    assert "unwanted 1.0 [denied]" in cli.run("plugins", "doctor").stdout


def test_disable_and_enable_are_inverse_and_keep_the_layout(cli, site):
    install(site, "alpha")
    text = "# ours\n[plugins]   # the list\ndeny = [\n    'other',  # too slow\n]\nstrict = false\n"
    path = cli.write("flytepath.toml", text)
    assert "added 'alpha'" in cli.run("plugins", "disable", "alpha").stdout
    assert states(cli)["alpha"] == "denied"
    assert "# too slow" in path.read_text()
    assert "removed 'alpha'" in cli.run("plugins", "enable", "alpha").stdout
    assert states(cli)["alpha"] == "enabled"
    assert path.read_text() == text


def test_saying_it_twice_changes_nothing(cli, site):
    install(site, "alpha")
    assert "nothing changed" in cli.run("plugins", "enable", "alpha").stdout
    assert not (cli.folder / "flytepath.toml").exists()
    cli.run("plugins", "disable", "alpha")
    before = (cli.folder / "flytepath.toml").read_bytes()
    assert "nothing changed" in cli.run("plugins", "disable", "alpha").stdout
    assert (cli.folder / "flytepath.toml").read_bytes() == before


@pytest.mark.parametrize(
    "policy",
    [
        "deny = ['alpha']",
        "deny = ['al*']",
        "deny = ['*']\nallow = ['other']",
        "allow = ['other']",
        "allow = []",
        "allow = ['alpha']\ndeny = ['alpha', 'a*']",
    ],
)
def test_enable_works_whatever_the_lists_say(cli, site, policy):
    install(site, "alpha")
    install(site, "other")
    cli.write("flytepath.toml", f"[plugins]\n{policy}\n")
    before = states(cli)
    cli.run("plugins", "enable", "alpha")
    assert states(cli) == {**before, "alpha": "enabled"}
    cli.run("plugins", "disable", "alpha")
    assert states(cli) == {**before, "alpha": "denied"}


def test_the_project_file_is_edited_where_there_is_no_other(cli, site):
    install(site, "alpha")
    path = cli.write("pyproject.toml", "[project]\nname = 'x'\n\n[tool.flytepath]\n")
    cli.run("plugins", "disable", "alpha")
    assert "[tool.flytepath.plugins]" in path.read_text()
    assert not (cli.folder / "flytepath.toml").exists()
    assert states(cli)["alpha"] == "denied"


def test_a_project_file_of_others_is_left_alone(cli, site):
    install(site, "alpha")
    path = cli.write("pyproject.toml", "[project]\nname = 'about-flytepath'\n")
    before = path.read_bytes()
    cli.run("plugins", "disable", "alpha")
    assert path.read_bytes() == before
    assert states(cli)["alpha"] == "denied"


def test_what_a_weaker_file_denies_stays_denied(cli, site):
    install(site, "alpha")
    install(site, "beta")
    cli.write("pyproject.toml", "[tool.flytepath.plugins]\ndeny = ['beta']\n")
    cli.write("flytepath.toml", "")
    cli.run("plugins", "disable", "alpha")
    assert [states(cli)[name] for name in ("alpha", "beta")] == ["denied", "denied"]


def test_a_named_file_is_edited(cli, site):
    install(site, "alpha")
    cli.run("plugins", "disable", "alpha", "--file", "elsewhere.toml")
    assert (cli.folder / "elsewhere.toml").read_text() == '[plugins]\ndeny = ["alpha"]\n'


def test_a_variable_that_overrides_is_warned_about(cli, site):
    install(site, "alpha")
    cli.env["FLYTEPATH_PLUGINS__DENY"] = "alpha"
    done = cli.run("plugins", "enable", "alpha")
    assert "FLYTEPATH_PLUGINS__DENY" in done.stderr


def test_a_project_with_a_rule_of_its_own_is_noted(cli, site):
    install(site, "alpha")
    cli.write("flytepath.toml", "[projects.research.plugins]\nallow = ['alpha']\n")
    assert "research" in cli.run("plugins", "disable", "alpha").stderr


def test_an_unknown_name_is_refused_unless_forced(cli, site):
    install(site, "alpha")
    said = cli.error("plugins", "disable", "alhpa", status=2)
    assert "did you mean 'alpha'?" in said
    assert not (cli.folder / "flytepath.toml").exists()
    cli.run("plugins", "disable", "alhpa", "--force")
    assert "alhpa" in (cli.folder / "flytepath.toml").read_text()


def test_core_and_wildcards_are_refused(cli, site):
    assert "cannot be disabled" in cli.error("plugins", "disable", "flytepath", status=2)
    assert "by hand" in cli.error("plugins", "enable", "al*", "--force", status=2)


@pytest.mark.parametrize(
    "text",
    ["[plugins\n", "[plugins]\ndeny = 'alpha'\n", "plugins = 3\n", "[plugins]\ndeny = [1]\n", "[plugins]\ndny = []\n"],
)
def test_a_file_that_is_wrong_is_left_as_it_is(cli, site, text):
    install(site, "alpha")
    path = cli.write("flytepath.toml", text)
    assert "FP-CONFIG" in cli.error("plugins", "disable", "alpha", status=2)
    assert path.read_text() == text
    assert [item.name for item in cli.folder.iterdir()] == ["flytepath.toml"]


def test_a_folder_that_cannot_be_written_is_an_error(cli, site):
    install(site, "alpha")
    said = cli.error("plugins", "disable", "alpha", "--file", "no/such/folder/flytepath.toml", status=2)
    assert "cannot write" in said


def test_a_route_to_nothing_can_still_be_corrected(cli, site):
    install(site, "alpha")
    cli.write(
        "flytepath.toml", "[plugins]\ndeny = ['alpha']\n[plugins.routes]\n'task-type:alpha' = 'flyte-plugin-alpha'\n"
    )
    cli.run("plugins", "enable", "alpha")
    assert states(cli)["alpha"] == "enabled"


def test_line_ends_links_and_rights_of_the_file_stay(cli, site):
    install(site, "alpha")
    real = cli.folder / "real.toml"
    real.write_bytes(b"# ours\r\n[plugins]\r\ndeny = ['x'] # why\r\n")
    real.chmod(0o640)
    (cli.folder / "flytepath.toml").symlink_to(real)
    cli.run("plugins", "disable", "alpha")
    assert real.read_bytes() == b"# ours\r\n[plugins]\r\ndeny = ['x', \"alpha\"] # why\r\n"
    assert real.stat().st_mode & 0o777 == 0o640
    assert (cli.folder / "flytepath.toml").is_symlink()


def test_the_file_that_a_variable_names_is_edited(cli, site):
    install(site, "alpha")
    named = cli.write("policies/ours.toml", "")
    cli.env["FLYTEPATH_CONFIG"] = str(named)
    cli.run("plugins", "disable", "alpha")
    assert "alpha" in named.read_text()
    assert states(cli)["alpha"] == "denied"


def test_a_terminal_gets_a_table(cli, site):
    install(site, "alpha", task=GOOD_TASK)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        cli.command("plugins", "list"), cwd=cli.folder, env={**cli.environment(), "COLUMNS": "100"}, stdout=theirs
    )
    os.close(theirs)
    shown = b""
    while chunk := _read(ours):
        shown += chunk
    os.close(ours)
    assert process.wait(timeout=60) == 0
    assert "━" in shown.decode()
    assert b"task type alpha" in shown


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # Linux says so when the other end of a terminal is closed
        return b""
