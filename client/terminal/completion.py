"""`towline completion`: what a shell needs to complete towline's commands, options and names."""

from typing import Annotated, Literal

import typer

from client.terminal.completing import VARIABLE


def completion(
    context: typer.Context,
    shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(metavar="bash|zsh|fish", help="Your shell.")],
) -> None:
    """Print what has your shell complete commands, options and names on Tab.

    Names of files on the server are among it: those that need no quotes, when
    the server answers within a second.

    Examples:
      source <(towline completion bash)      in ~/.bashrc
      source <(towline completion zsh)       in ~/.zshrc, behind compinit
      towline completion fish | source       in ~/.config/fish/config.fish
    """
    from typer.completion import get_completion_inspect_parameters, shell_complete  # what only it needs

    get_completion_inspect_parameters()  # which is what makes the shells known
    raise typer.Exit(shell_complete(context.find_root().command, {}, "towline", VARIABLE, f"source_{shell}"))
