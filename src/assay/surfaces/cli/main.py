"""The command `assay`: finds the command's module, runs it, and turns errors into text and exit codes.

Only the module of the command that was typed is imported, so that `assay --version` costs no more than Python itself.
Exit codes: 0 pass, 1 denied or findings, 2 wrong use, 3 undecided or could not finish, 4 internal error.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

from assay import __version__
from assay.core.errors import AssayError, StorageError
from assay.surfaces.cli.visible import visible

_HERE: Final = "assay.surfaces.cli"
COMMANDS: Final = {
    "init": ("start", "make a workspace: keys, trust policy, empty ledger"),
    "register": ("assets", "record the bytes of assets as versions"),
    "train": ("training", "run a training command and record its provenance"),
    "check": ("checking", "run the checks that fit an asset and sign what they found"),
    "checks": ("checking", "list all checks"),
    "deps": ("depending", "match dependencies against imported advisories"),
    "advisories": ("depending", "import advisories (OSV) and match stored bills again"),
    "vex": ("triaging", "sign what a VEX document says of an asset's vulnerabilities"),
    "scan": ("scanning", "say what files are and whether loading them could run code; no workspace"),
    "gate": ("deciding", "ask the policies whether an asset may go to a stage"),
    "promote": ("deciding", "gate, then point a stage to the asset"),
    "rollback": ("deciding", "gate the previous version, then point the stage back to it"),
    "policy": ("policies", "lint, test or explain policies"),
    "sign": ("signing", "write a model signature that other tools verify (OpenSSF Model Signing)"),
    "verify": ("running", "say whether exactly these bytes may run"),
    "bundle": ("running", "write everything needed to verify offline"),
    "quarantine": ("living", "deny an asset everywhere, at once"),
    "lift": ("living", "lift a quarantine; needs two persons"),
    "retire": ("living", "end an asset's life; it verifies nowhere"),
    "approve": ("living", "approve or reject an asset for a stage"),
    "waive": ("living", "waive one rule for one asset, for a time"),
    "incident": ("living", "open, contain, close or list incidents"),
    "log": ("history", "list the evidence about an asset, or all assets"),
    "show": ("history", "show one statement"),
    "ledger": ("ledgers", "verify, checkpoint, export or prove"),
    "key": ("keys", "make keys, show and extend the trust policy"),
    "firewall": ("firewalling", "judge what goes to a model and what comes back"),
    "config": ("start", "show every setting and where it comes from"),
    "demo": ("demonstration", "play the whole loop on real mortgage data"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _run(given)
        sys.stdout.flush()  # here, where a reader that went away can still be met
        return code
    except AssayError as error:
        _say(f"assay: {error}")
        return _softened(error.exit_code, given)
    except KeyboardInterrupt:
        _say("assay: interrupted; what was acknowledged is on disk")
        return 3
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 4
    except OSError as error:
        _say(
            f"assay: {StorageError('a file or folder cannot be used', str(error), 'check the path, its permissions and the disk')}"
        )
        return _softened(StorageError.exit_code, given)
    except Exception as error:
        _say(f"assay: internal error: {type(error).__name__}: {error}  [A-INTERNAL]")
        _say("  fix   this is a bug in Assay; run again with ASSAY_DEBUG=1 for the place, and report it")
        if os.environ.get("ASSAY_DEBUG"):
            raise
        return 4


def parser_for(command: str) -> argparse.ArgumentParser:
    """The argument parser of one command."""
    module = importlib.import_module(f"{_HERE}.{COMMANDS[command][0]}")
    parser = _Parser(prog=f"assay {command}", description=module.ABOUT[command], allow_abbrev=False)
    _add_globals(parser)
    module.add_arguments(command, parser)
    return parser


def _run(given: list[str]) -> int:
    command, rest = _split(given)
    if command is None:
        return 0
    module = importlib.import_module(f"{_HERE}.{COMMANDS[command][0]}")
    options = parser_for(command).parse_args(rest)
    code = int(module.run(command, options))
    if options.exit_zero and code in (1, 3):
        _say(f"assay: exit code {code} turned into 0 by --exit-zero")
        return 0
    return code


def _split(given: list[str]) -> tuple[str | None, list[str]]:
    """The command and its arguments; global options may stand before the command."""
    top = _Parser(prog="assay", add_help=False, allow_abbrev=False)
    _add_globals(top)
    top.add_argument("--version", action="store_true")
    top.add_argument("-h", "--help", action="store_true")
    before: list[str] = []
    takes_value = {"--workspace", "--format", "--report"}
    i = 0
    while i < len(given) and given[i].startswith("-"):
        width = 2 if given[i] in takes_value else 1
        before += given[i : i + width]
        i += width
    options = top.parse_args(before)
    if options.version:
        print(f"assay {__version__}")
        return None, []
    if i >= len(given):
        print(_overview())
        if not options.help:
            raise SystemExit(2)
        return None, []
    if options.help or given[i] == "help":
        print(_overview())
        return None, []
    if given[i] not in COMMANDS:
        import difflib

        near = difflib.get_close_matches(given[i], COMMANDS, 1)
        _fail(
            f"assay: there is no command {given[i]!r}  [A-USAGE]\n  fix   {f'did you mean `assay {near[0]}`?' if near else 'see `assay --help`'}"
        )
    return given[i], [*given[i + 1 :], *before] if given[i] != "train" else [*before, *given[i + 1 :]]


def _add_globals(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("global")
    group.add_argument("--workspace", metavar="DIR", help="the workspace; default .assay beside assay.yaml")
    group.add_argument(
        "--format", metavar="FORMAT", default="human", help="human or json; more where a command says so"
    )
    group.add_argument(
        "--report", metavar="FORMAT=FILE", action="append", default=[], help="also write a report; may be repeated"
    )
    group.add_argument("--quiet", action="store_true", help="no progress on stderr")
    group.add_argument("--no-color", action="store_true", help="plain text")
    group.add_argument("--exit-zero", action="store_true", help="turn exit codes 1 and 3 into 0, and say so")
    group.add_argument("--dry-run", action="store_true", help="change nothing")


def _overview() -> str:
    lines = [
        f"assay {__version__}: tests machine-learning assets, signs what it learned, lets only what passed reach production",
        "",
    ]
    lines += ["usage: assay COMMAND [options]", ""]
    lines += [f"  {name:11s} {about}" for name, (_, about) in COMMANDS.items()]
    return "\n".join(
        [*lines, "", "`assay COMMAND --help` says more. New here? `assay demo` plays the whole loop in about a minute."]
    )


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        _fail(f"assay: {message}  [A-USAGE]\n  fix   see `{self.prog} --help`")


def _fail(text: str) -> NoReturn:
    _say(text)
    raise SystemExit(2)


def _softened(code: int, given: Sequence[str]) -> int:
    ours = given[: given.index("--")] if "--" in given else given  # the rest belongs to the command that is trained
    if "--exit-zero" in ours and code in (1, 3):
        _say(f"assay: exit code {code} turned into 0 by --exit-zero")
        return 0
    return code


def _say(text: str) -> None:
    print(visible(text), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
