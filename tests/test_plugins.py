"""The registry finds plugins by name, imports only what is chosen, and says what is wrong with the rest."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest

from and_nnsight import plugins
from and_nnsight.plugins import PluginError, installed, make, resolve

GROUP = "and_nnsight.summarizers"


class Good:
    """Says nothing, well.

    More about it.
    """

    def __init__(self, argument: str = "none", *, chat: object = None, seed: int = 7) -> None:
        self.argument, self.chat, self.seed = argument, chat, seed

    def summarize(self, evidence: object) -> list[object]:
        return []


class Argued(Good):
    """Needs an argument."""

    def __init__(self, file: str) -> None:
        super().__init__(file)


class Chatty(Good):
    """Needs a chat model."""

    def __init__(self, *, chat: object) -> None:
        super().__init__(chat=chat)


class Starred(Good):
    """Takes anything."""

    def __init__(self, **options: object) -> None:
        super().__init__()


class Heavy(Good):
    """Needs a module that is not there."""

    requires: ClassVar[dict[str, str]] = {"no_such_module_at_all": "and-nnsight[heavy]"}


class Orphan(Good):
    """Needs a module of a package that is not there."""

    requires: ClassVar[dict[str, str]] = {"no_such_package.module": "the-package"}


class Vague(Good):
    """Says wrongly what it needs."""

    requires: ClassVar[list[str]] = ["numpy"]


class Picky(Good):
    """Fails when it is made."""

    def __init__(self, least: str = "3") -> None:
        super().__init__()
        self.least = int(least)


class Mute:
    """Lacks its method."""


NOT_A_CLASS = 5


class Nameless:
    """A captioner without a sampling rate, a chat model and a listener without a name."""

    def caption(self, clips: object) -> list[str]:
        return []

    def chat(self, conversations: object, options: object) -> list[str]:
        return []

    def fits(self, questions: object) -> list[list[float]]:
        return []


def entry(name: str, attribute: str, distribution: str = "some-plugin", group: str = GROUP) -> EntryPoint:
    made = EntryPoint(name, f"{__name__}:{attribute}", group)
    vars(made)["dist"] = SimpleNamespace(name=distribution)
    return made


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[EntryPoint]]:
    """A list that stands for what is installed."""
    entries: list[EntryPoint] = []
    monkeypatch.setattr(plugins, "_scan", lambda: tuple(entries))
    yield entries


def test_a_name_makes_the_plugin_and_what_stands_after_the_colon_is_its_argument(registry: list[EntryPoint]) -> None:
    registry.append(entry("good", "Good"))
    assert make("summarizer", "good").argument == "none"
    assert make("summarizer", "good:a:b/c").argument == "a:b/c"


def test_a_plugin_gets_what_it_names_of_what_is_offered(registry: list[EntryPoint]) -> None:
    registry.append(entry("good", "Good"))
    made = make("summarizer", "good", chat="a model", device="cpu", seed=None)
    assert made.chat == "a model"
    assert made.seed == 7


def test_a_choice_is_checked_without_making_the_plugin(registry: list[EntryPoint]) -> None:
    registry += [entry("picky", "Picky"), entry("chatty", "Chatty")]
    plugins.check("summarizer", "picky:not a number")
    plugins.check("summarizer", "chatty", chat="a model")
    for wrong, said in (("chatty", "needs a chat"), ("chatty:x", "takes nothing"), ("quiet", "unknown summarizer")):
        with pytest.raises(PluginError, match=said):
            plugins.check("summarizer", wrong)
    with pytest.raises(PluginError, match="the method summarize"):
        plugins.check("summarizer", Mute())


def test_an_unknown_name_lists_what_is_installed_and_how_to_get_more(registry: list[EntryPoint]) -> None:
    registry.append(entry("good", "Good"))
    with pytest.raises(PluginError, match=r"unknown summarizer 'bad:x'.*good.*entry point.*and_nnsight\.summarizers"):
        make("summarizer", "bad:x")


@pytest.mark.parametrize(
    ("attribute", "chosen", "said"),
    [
        ("Argued", "it", "needs more: it:FILE"),
        ("Chatty", "it", "needs a chat"),
        ("Chatty", "it:x", "takes nothing after its name"),
        ("Starred", "it", r"takes \*options"),
        ("Heavy", "it", r"pip install 'and-nnsight\[heavy\]'"),
        ("Mute", "it", r"has no method summarize\(\)"),
        ("Absent", "it", "some-plugin cannot be loaded: AttributeError"),
        ("NOT_A_CLASS", "it", "some-plugin is no class: .* is a int"),
        ("Orphan", "it", "pip install 'the-package'"),
        ("Vague", "it", "`requires` maps no modules"),
        ("Picky", "it:x", "summarizer 'it:x' cannot be made: ValueError: invalid literal"),
    ],
)
def test_what_is_wrong_is_said_with_the_name_of_the_plugin(
    registry: list[EntryPoint], attribute: str, chosen: str, said: str
) -> None:
    registry.append(entry("it", attribute))
    with pytest.raises(PluginError, match=said):
        make("summarizer", chosen)


def test_a_broken_plugin_harms_no_other_and_is_listed_with_its_reason(
    registry: list[EntryPoint], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_plugin_for_test.py").write_text("raise OSError('half installed')", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    broken = EntryPoint("broken", "broken_plugin_for_test:Thing", GROUP)
    vars(broken)["dist"] = SimpleNamespace(name="half-a-plugin")
    registry += [
        broken,
        entry("good", "Good"),
        entry("heavy", "Heavy"),
        entry("odd", "Orphan"),
        entry("5", "NOT_A_CLASS"),
    ]
    assert make("summarizer", "good")
    assert "broken_plugin_for_test" not in sys.modules
    listed = {plugin.name: plugin for plugin in installed()}
    reason = listed["broken"].broken or ""
    assert "half-a-plugin cannot be loaded: OSError: half installed; install it again, or a newer one" in reason
    assert "pip uninstall half-a-plugin" in reason
    assert listed["good"].broken is None
    assert listed["good"].description == "Says nothing, well."
    assert listed["heavy"].broken == "not installed: pip install 'and-nnsight[heavy]'"
    assert listed["odd"].broken == "not installed: pip install 'the-package'"
    assert "is no class" in (listed["5"].broken or "")


def test_ours_comes_before_others_and_two_others_are_settled_by_name_with_a_warning(
    registry: list[EntryPoint],
) -> None:
    registry += [entry("one", "Chatty", "zebra"), entry("one", "Good", "and-nnsight"), entry("two", "Good", "b")]
    with pytest.warns(UserWarning, match="offered by and-nnsight and by zebra"):
        assert type(make("summarizer", "one")) is Good
    registry[:] = [entry("one", "Chatty", "aardvark"), entry("one", "Good", "and-nnsight")]
    with pytest.warns(UserWarning, match="offered by and-nnsight and by aardvark"):
        assert type(make("summarizer", "one")) is Good, "ours, although the other comes first by the alphabet"
    registry[:] = [entry("one", "Chatty", "zebra"), entry("one", "Good", "aardvark")]
    with pytest.warns(UserWarning, match="offered by aardvark and by zebra"):
        assert type(make("summarizer", "one")) is Good


def test_one_entry_point_seen_twice_is_no_rivalry(registry: list[EntryPoint]) -> None:
    registry += [entry("good", "Good"), entry("good", "Good")]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert make("summarizer", "good")


def test_an_object_plays_a_role_if_it_has_its_methods() -> None:
    plugin, name = resolve("summarizer", Good())
    assert plugin.argument == "none"
    assert name == "Good"
    with pytest.raises(PluginError, match=r"a summarizer is a name or an object with the method summarize\(\)"):
        resolve("summarizer", Mute())


@pytest.mark.parametrize(
    ("role", "attribute"), [("captioner", "sampling_rate"), ("chat model", "name"), ("listener", "name")]
)  # answers of a chat model are filed under its name: without one, two models would answer for each other
def test_a_plugin_without_what_its_role_needs_beside_its_methods_is_refused(role: str, attribute: str) -> None:
    with pytest.raises(PluginError, match=f"a {role} is a name or an object with the attribute {attribute}"):
        resolve(role, Nameless())


class Ear:
    """Hears."""

    name, sampling_rate = "ear", 16_000

    def __init__(self, repository: str, *, device: object = None) -> None:
        self.repository, self.device = repository, device

    def fits(self, questions: object) -> list[list[float]]:
        return []


def test_a_listener_is_found_in_its_group_and_listed(registry: list[EntryPoint]) -> None:
    registry.append(entry("ear", "Ear", group="and_nnsight.listeners"))
    made, name = resolve("listener", "ear:some/where", device="cpu", seed=3)
    assert (made.repository, made.device, name) == ("some/where", "cpu", "ear:some/where")
    assert [(one.role, one.name, one.broken) for one in installed()] == [("listener", "ear", None)]
    with pytest.raises(PluginError, match=r"unknown listener 'x'.*and_nnsight\.listeners"):
        make("listener", "x")


def test_the_entry_points_that_we_declare_can_be_loaded_and_play_their_role() -> None:
    """Of pyproject.toml, whatever is installed."""
    import tomllib

    declared = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    groups = declared["project"]["entry-points"]
    methods = {role.group: role.methods for role in plugins.ROLES.values()}
    for group in (plugins.VIEWS, plugins.TABLES):  # no plugins: what is shown and made of our own classes
        assert all(callable(EntryPoint(name, value, group).load()) for name, value in groups.pop(group).items())
    assert set(groups) <= set(methods)
    assert {"clap", "transformers"} <= set(groups["and_nnsight.listeners"])
    for group, entries in groups.items():
        for name, value in entries.items():
            factory = EntryPoint(name, value, group).load()
            assert all(callable(getattr(factory, method)) for method in methods[group]), value


def test_our_own_plugins_go_through_the_registry() -> None:
    plugins.refresh()
    ours = {(plugin.role, plugin.name) for plugin in installed() if plugin.distribution == "and-nnsight"}
    assert {("captioner", "column"), ("summarizer", "keywords"), ("text encoder", "words")} <= ours
    assert all(plugin.description for plugin in installed())


def test_a_variable_limits_whose_plugins_may_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fake(Distribution):
        def read_text(self, filename: str) -> str | None:
            return "Metadata-Version: 2.1\nName: Other_Plugin\nVersion: 1\n" if filename == "METADATA" else None

        def locate_file(self, path: object) -> Path:
            return Path(str(path))

    other = EntryPoint("other", f"{__name__}:Good", GROUP)
    vars(other)["dist"] = Fake()
    real = plugins.entry_points
    monkeypatch.setattr(plugins, "entry_points", lambda group: [*real(group=group), *([other] * (group == GROUP))])
    for value, there in ((None, True), ("", False), ("something-else", False), ("x, other-plugin", True)):
        plugins.refresh()
        if value is None:
            monkeypatch.delenv(plugins.VARIABLE, raising=False)
        else:
            monkeypatch.setenv(plugins.VARIABLE, value)
        names = {plugin.name for plugin in installed() if plugin.role == "summarizer"}
        assert ("other" in names) == there
        assert "keywords" in names
    plugins.refresh()
