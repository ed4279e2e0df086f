"""What the command says of itself: alone, with --help, and at terminals of any width."""

import inspect
import re
import shlex
from collections.abc import Iterator, Sequence
from itertools import dropwhile, groupby

import pytest
import typer
from typer.testing import CliRunner

from client.cli import app
from client.terminal.columns import width_of
from client.terminal.extensions import add_commands_of_others
from client.terminal.help import definitions, text_lines
from client.terminal.paint import is_painted
from client.terminal.welcome import welcome
from tests.client.command import Towline

COMMANDS = [str(each.callback and each.callback.__name__) for each in app.registered_commands]
LINK = f"https://files.example.org/r/{'1' * 12}_{'2' * 64}"
BETWEEN = "|()<"
"""What a shell takes for the end of a command, and the beginning of another one."""
PLACEHOLDERS = {"URL": LINK, "https://...": LINK}
"""What an example has in the place of a request link."""


def help_of(*command: str, columns: int = 80, **environment: str) -> str:
    """The help text, as it is printed."""
    done = CliRunner().invoke(
        app, [*command, "--help"], prog_name="towline", env={"COLUMNS": str(columns), **environment}, color=True
    )
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture
def server() -> str:
    return "http://127.0.0.1:1"


# ------------------------------------------------------------------------------------------------------------- alone


async def test_alone_it_says_in_a_screen_what_to_type_first(towline: Towline) -> None:
    towline.environment |= {"COLUMNS": "80", "TOWLINE_SERVER": "https://files.example.org/"}
    lines = (await towline()).out.splitlines()
    assert len(lines) < 24
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("Towline moves files over one WebSocket and never starts over")
    commands = [line.split()[1] for line in lines if line.startswith("  towline ")]
    assert commands == ["serve", "upload", "ls", "download", "login"]
    assert "The server is https://files.example.org/." in lines


def test_what_it_says_alone_is_true_of_the_commands() -> None:
    shown = "\n".join(welcome(80, painted=False))
    for command in re.findall(r"^  (?!towline|export)([a-z, ]+?)  ", shown, re.MULTILINE):
        assert set(command.split(", ")) <= set(COMMANDS)


# -------------------------------------------------------------------------------------------------------------- help


async def test_who_types_help_gets_it(towline: Towline) -> None:
    assert (await towline("help", "ls")).out == (await towline("ls", "--help")).out
    assert "\n  serve " in (await towline("help")).out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_examples(command: str) -> None:
    shown = help_of(command)
    assert "Examples:\n" in shown
    assert f"  towline {command}" in shown
    if command not in LOCAL:
        assert "--server" in shown or "[SERVER]" in shown
        assert "--token-file" in shown or command in ("login", "logout")
        assert "--json" in shown


LOCAL = ["completion"]
"""Commands that speak with no server, or only to find words."""


@pytest.mark.parametrize("command", COMMANDS)
def test_help_breaks_no_line_at_80_columns(command: str) -> None:
    documented = {
        each.callback.__name__: inspect.getdoc(each.callback) for each in app.registered_commands if each.callback
    }
    written = (documented[command] or "").splitlines()
    shown = help_of(command).partition("\n\n")[2].splitlines()
    assert shown[: len(written)] == [re.sub("^    ", "  ", line) for line in written]


def test_help_names_every_command_and_exit_code() -> None:
    shown = help_of()
    assert not [command for command in COMMANDS if f"\n  {command} " not in shown]
    for code in ("0 done", "1 refused", "2 wrong usage", "75 gave up", "130 Ctrl-C"):
        assert code in shown


@pytest.mark.parametrize("columns", [40, 60, 200])
@pytest.mark.parametrize("command", COMMANDS)
def test_no_terminal_is_too_narrow_for_help(command: str, columns: int) -> None:
    """What may be longer than a line is what has to be copied, or cannot be broken."""
    shown, all_of_it = help_of(command, columns=columns), help_of(command)
    assert re.sub(r"\s+", "", shown) == re.sub(r"\s+", "", all_of_it)
    too_long = [line for line in shown.splitlines() if width_of(line) > columns]
    assert not [line for line in too_long if not re.match(r"  \S|\s*\S+$", line)]


# ---------------------------------------------------------------------------------------------------------- examples


def examples() -> Iterator[tuple[str, str]]:
    """Every line of every command's examples, the commands of the service included."""
    add_commands_of_others(app, ["--help"])
    pending: list[tuple[str, object]] = [("towline", typer.main.get_command(app))]
    while pending:
        path, command = pending.pop()
        pending += [(f"{path} {name}", each) for name, each in getattr(command, "commands", {}).items()]
        for line in str(getattr(command, "help", "")).partition("Examples:")[2].splitlines():
            if line.strip():
                yield path, line.strip()


def calls(example: str) -> Iterator[list[str]]:
    """The words of each call of towline in a line of a shell."""
    lexer = shlex.shlex(re.split(r" {3,}", example)[0], posix=True, punctuation_chars=BETWEEN)
    lexer.whitespace_split = True
    words = [PLACEHOLDERS.get(word, word) for word in lexer]
    for _, part in groupby(words, key=lambda word: set(word) <= set(BETWEEN)):
        of_towline = [*dropwhile(lambda word: word != "towline", part)]
        if of_towline:
            yield of_towline[1:]


EXAMPLES = sorted(set(examples()))


@pytest.mark.parametrize("example", [line for _, line in EXAMPLES], ids=lambda line: re.sub(r"[^\w-]+", "-", line)[:40])
def test_every_example_can_be_typed(example: str) -> None:
    (words, *_) = [*calls(example)]
    command = typer.main.get_command(app)
    _parse(command, words)


def _parse(command: object, words: Sequence[str]) -> None:
    """Read the words as the command would, and do nothing. Raises what it would complain of."""
    with command.make_context("towline", list(words)) as context:  # type: ignore[attr-defined]
        if rest := getattr(context, "_protected_args", []):
            _, further, others = command.resolve_command(context, [*rest, *context.args])  # type: ignore[attr-defined]
            _parse(further, others)


# ----------------------------------------------------------------------------------------------------------- colours


class Stream:
    """Something to write to, that is a terminal or is none."""

    def __init__(self, *, is_terminal: bool) -> None:
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


@pytest.mark.parametrize(
    ("is_terminal", "environment", "painted"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (False, {"FORCE_COLOR": "1"}, True),
        (True, {"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        (True, {"TERM": "dumb"}, False),
    ],
)
def test_colours_are_where_they_are_wanted(is_terminal: bool, environment: dict[str, str], painted: bool) -> None:
    assert is_painted(Stream(is_terminal=is_terminal), environment) is painted  # type: ignore[arg-type]


def test_help_is_painted_when_that_is_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b" not in help_of("ls")
    assert "\x1b[1mExamples:\x1b[0m" in help_of("ls", FORCE_COLOR="1")


def test_words_too_long_for_their_column_stand_above_their_meaning() -> None:
    rows = [("-a", "short"), ("--a-very-long-option-of-some-command WITH", "long")]
    assert [*definitions(rows, 80, left=10)] == [
        "  -a          short",
        "  --a-very-long-option-of-some-command WITH",
        "              long",
    ]
    assert [*text_lines("One two.\n\nExamples:\n  go   there\n", 12, painted=False)] == [
        "One two.",
        "",
        "Examples:",
        "  go   there",
    ]
