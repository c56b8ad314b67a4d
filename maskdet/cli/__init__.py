"""The command line: one module a command, loaded only when it is asked for."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from maskdet import __version__
from maskdet.cli.console import complain, reason, set_up_output

COMMANDS: dict[str, str] = {
    "app": "open the dashboard",
    "detect": "find the faces in pictures and say who wears a mask",
    "video": "follow the people in films and cameras, and say who wears a mask",
    "events": "list, sum up, export and delete the events that were recorded",
    "evaluate": "measure an analyzer on labelled pictures",
    "tune": "say what thresholds cost on labelled pictures, and which reach a goal",
    "suites": "test on hard negatives, low light, groups of people, empty pictures",
    "models": "list, verify and fetch the model files",
    "benchmark": "time the analyzers side by side",
    "data": "check labelled pictures and split them for training",
    "label": "box the faces of pictures whose class is known, and write COCO",
    "train": "train our networks from labelled pictures",
    "export": "write a trained network in the form that maskdet runs",
}
"""Name to what it does. `maskdet.cli.NAME` has `add_parser` and `run`."""

STOPPED = 130
"""Exit status after Ctrl-C, as shells have it: 128 + SIGINT."""

PIPE_CLOSED = 141
"""Exit status when the reader of our output went away: 128 + SIGPIPE."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    What a person can put right (a bad file, a missing model, a wrong value) becomes
    one line on stderr and status 1; a usage error exits with 2, as argparse does.

    Args:
        argv: the words after the program's name; those of this process by default.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    set_up_output()
    command = next((word for word in words if word in COMMANDS), "")
    try:
        args = build_parser(command).parse_args(words)
        status = int(import_module(f"maskdet.cli.{args.command}").run(args))
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # Otherwise Python complains when it flushes the closed pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except (ValueError, OSError, RuntimeError) as error:
        complain(reason(error))
        return 1
    except KeyboardInterrupt:
        complain("stopped")
        return STOPPED


class _Help(argparse.HelpFormatter):
    """Keeps each command and its line on one line: argparse forgets their indent."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog)
        self._action_max_length = 2 * self._indent_increment + max(map(len, COMMANDS))


def build_parser(command: str) -> argparse.ArgumentParser:
    """Return the parser in which only `command` knows its options.

    The others are one line of the help each, so that nobody waits for their imports.
    """
    parser = argparse.ArgumentParser(
        prog="maskdet",
        formatter_class=_Help,
        description="See who wears a mask, who does not and who wears it wrongly.",
        epilog="maskdet COMMAND --help tells more.",
    )
    parser.add_argument(
        "--version", action="version", version=f"%(prog)s {__version__}"
    )
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, title="commands"
    )
    for name, line in COMMANDS.items():
        if name == command:
            import_module(f"maskdet.cli.{name}").add_parser(commands)
        else:
            commands.add_parser(name, help=line)
    return parser
