"""The command line: one module per command, imported only when it runs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from maskdet import __version__
from maskdet.cli.console import configure_output, print_warning
from maskdet.model_files.model_zoo import MODEL_DIR_VARIABLE, check_model_folder
from maskdet.wording import format_error_reason

COMMANDS: dict[str, str] = {
    "app": "open the dashboard",
    "detect": "detect and classify the faces of images",
    "video": "track and classify the people in videos and cameras",
    "batch": "analyze many files in several processes or machines",
    "serve": "offer the analysis over HTTP",
    "events": "list, summarize, export and delete recorded events",
    "evaluate": "measure an analyzer on labelled images",
    "tune": "report what thresholds cost, and choose them for a goal",
    "robustness": "benchmark robustness: hard negatives, low light, false positives",
    "models": "list, verify and download model files",
    "benchmark": "compare the speed of the analyzers",
    "data": "check labelled images and split them for training",
    "label": "add boxes to images whose class is known",
    "train": "train a classifier or the single-stage network",
    "export": "convert a training run to LiteRT, with its model card",
}
"""Command to its summary. `maskdet.cli.NAME` has `add_parser` and `run`."""

_SUBCOMMANDS = {"events": ("list", "delete"), "tune": ("settings", "scores")}
"""Commands whose first subcommand may be left out."""

_HELP_OPTIONS = ("-h", "--help")

EXIT_INTERRUPTED = 130
"""Exit status after Ctrl-C: 128 + SIGINT, the convention of shells."""

EXIT_BROKEN_PIPE = 141
"""Exit status after a broken pipe of the output: 128 + SIGPIPE."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Errors that a user can fix (a bad file, a missing model, a wrong value) are one line
    on stderr and status 1. A usage error exits with 2, as argparse does.

    Args:
        argv: arguments after the program name; by default those of this process.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    configure_output()
    try:
        args = parse_arguments(arguments)
        folder = getattr(args, "models", None)
        if folder is not None:
            os.environ[MODEL_DIR_VARIABLE] = str(check_model_folder("--models", folder))
        status = int(import_module(f"maskdet.cli.{args.command}").run(args))
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # Otherwise Python complains when it flushes the closed pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except (ValueError, OSError, RuntimeError) as error:
        print_warning(format_error_reason(error))
        return 1
    except KeyboardInterrupt:
        print_warning("stopped")
        return EXIT_INTERRUPTED


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the arguments of one command, whose subcommand may be left out.

    Raises:
        SystemExit: a usage error, or the end of `--help` and `--version`.
    """
    command = next((argument for argument in arguments if argument in COMMANDS), "")
    if command == "evaluate":  # the kind depends on the data
        arguments = import_module("maskdet.cli.evaluate").insert_kind([*arguments])
    elif command in _SUBCOMMANDS:
        subcommands, index = _SUBCOMMANDS[command], arguments.index(command) + 1
        if "".join(arguments[index : index + 1]) not in (*subcommands, *_HELP_OPTIONS):
            arguments = [*arguments[:index], subcommands[0], *arguments[index:]]
    return build_parser(command).parse_args(arguments)


class _HelpFormatter(argparse.HelpFormatter):
    """Keeps each command and its summary on one line: argparse ignores their indent."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog)
        self._action_max_length = 2 * self._indent_increment + max(map(len, COMMANDS))


def build_parser(command: str) -> argparse.ArgumentParser:
    """Return the parser with the options of `command` only.

    The other commands have only their summary, so that their modules are not imported.
    """
    parser = argparse.ArgumentParser(
        prog="maskdet",
        formatter_class=_HelpFormatter,
        description="Detect faces and classify whether a mask is worn, not worn, or "
        "worn incorrectly.",
        epilog="`maskdet COMMAND --help` describes the options of a command.",
    )
    parser.add_argument(
        "--version", action="version", version=f"%(prog)s {__version__}"
    )
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, title="commands"
    )
    for name, summary in COMMANDS.items():
        if name == command:
            import_module(f"maskdet.cli.{name}").add_parser(commands)
        else:
            commands.add_parser(name, help=summary)
    return parser
