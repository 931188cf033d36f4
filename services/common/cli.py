"""How every command speaks: options that all share, answers for people or as JSON, problems in plain words."""

import json
import socket
from collections.abc import Callable, Mapping
from errno import ENOSPC
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError
from sqlalchemy.exc import DatabaseError, OperationalError, ProgrammingError

from services.common.errors import Problem
from services.common.http.server import listen
from services.common.messaging.broker import BrokerUnavailable
from services.common.secret_files import Damaged
from services.common.settings import Settings

Command = Callable[..., Any]
PORT = click.IntRange(0, 65535)
FULL = "The disk is full. Make room, then say it once more."
DAMAGED = "It is damaged, or none at all: bring its newest copy back, as deploy/README.md says."


class Later(click.Group):
    """A group that loads a command's module when the command is asked for; `later` tells the module of each.

    A process of one service then holds no code of another, and begins in half the time.
    """

    def __init__(self, *arguments: Any, later: Mapping[str, str], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._later = later

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click calls it so
        """The names of all of them."""
        return sorted({*self.commands, *self._later})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, from its module if it is one of those."""
        if cmd_name not in self._later:
            return super().get_command(ctx, cmd_name)
        command: click.Command = getattr(import_module(self._later[cmd_name]), cmd_name)
        return command


def hub_options(command: Command) -> Command:
    """Add `--data` and `--json`; the command is called with `settings` and `as_json`."""

    @click.option("--data", type=click.Path(path_type=Path), help="Folder of an embedded hub (or FIREWEED_DATA).")
    @click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
    @wraps(command)
    def with_settings(data: Path | None, as_json: bool, **options: Any) -> Any:
        try:
            settings = Settings(data=data) if data else Settings()
            return command(settings=settings, as_json=as_json, **options)
        except Problem as problem:
            raise click.ClickException(told(problem)) from problem
        except ValidationError as error:
            wrong = [": ".join([*_variable(item["loc"]), item["msg"]]) for item in error.errors()]
            raise click.ClickException("\n  ".join(["These settings cannot be used.", *wrong])) from error
        except (DatabaseError, Damaged) as error:
            raise _unusable(error) from error
        except BrokerUnavailable as error:
            advice = "Check FIREWEED_KAFKA, and that Kafka runs."
            raise click.ClickException(f"The bus cannot be reached ({error}). {advice}") from error
        except OSError as error:
            raise _unwritable(error) from error

    return with_settings


def _unusable(error: DatabaseError | Damaged) -> Exception:
    """What an error of a database or key tells an operator; any but these is a mistake of ours, and stays what it is."""
    if isinstance(error, Damaged):
        return click.ClickException(f"{error.path} cannot be read. {DAMAGED}")
    if type(error) is DatabaseError:  # as SQLite says of a file
        return click.ClickException(f"A database file cannot be read. {DAMAGED} `fireweed doctor` tells which.")
    if not isinstance(error, OperationalError | ProgrammingError):
        return error
    # SQLite says of a full disk, of a file that it cannot open, and of a table that is not there, that it is operational.
    why = getattr(error.orig, "sqlite_errorname", type(error).__name__)
    if why == "SQLITE_FULL":
        return click.ClickException(FULL)
    advice = "Is FIREWEED_DATABASE_URL right, and does it run? A new one needs `fireweed migrate`; "
    more = "`fireweed doctor` tells more."
    return click.ClickException(f"The database cannot be used ({why}). {advice}{more}")


def _unwritable(error: OSError) -> Exception:
    """What an operating system's error about a file tells an operator; one about no file is a mistake of ours."""
    if error.errno == ENOSPC:
        return click.ClickException(FULL)
    if error.filename is None:
        return error
    advice = "Choose another with --data or its FIREWEED_ variable, or let this user read and write there."
    return click.ClickException(f"{error.filename} cannot be used ({error.strerror}). {advice}")


def _variable(location: tuple[int | str, ...]) -> list[str]:
    return [f"FIREWEED_{step}".upper() for step in location]


def answer(document: Mapping[str, Any] | list[Any], as_json: bool, lines: Callable[[], list[str]]) -> None:
    """Print a result, as JSON or in lines."""
    text = json.dumps(document, indent=2, ensure_ascii=False, default=str) if as_json else "\n".join(lines())
    if text:
        click.echo(text)


def listener_on(port: int, host: str = "127.0.0.1") -> socket.socket:
    """A listening socket; a port that cannot be had is told in a line."""
    try:
        return listen(port, host)
    except OSError as error:
        place, others = (
            (f"Port {port}", "--port") if host == "127.0.0.1" else (f"Port {port} of {host}", "--host or --port")
        )
        told = f"{place} cannot be used ({error.strerror}). Choose another with {others}."
        raise click.ClickException(told) from error


def progress(label: str) -> Callable[[int, int], None]:
    """What long work calls with how much is done, and of how much; it is told on stderr in steps of 5 %."""
    steps: set[int] = set()

    def show(done: int, total: int) -> None:
        step = 100 * done // max(total, 1) // 5 * 5
        if step not in steps:
            steps.add(step)
            click.echo(f"{label}: {step} % ({done} of {total})", err=True)

    return show


def told(problem: Problem) -> str:
    """A problem in a line or two, with what would have been accepted."""
    lines = [problem.title]
    for fault in problem.faults:
        accepted = f" Accepted: {fault.accepted}." if fault.accepted else ""
        lines.append(f"  {fault.member}: {fault.detail}{accepted}")
    return "\n".join(lines)
