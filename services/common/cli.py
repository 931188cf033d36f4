"""Options that all commands share, answers as text or JSON, and errors that say what to do; no command of its own."""

import json
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from errno import ENOSPC
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import IO, Any

import click
from pydantic import ValidationError
from sqlalchemy.engine import make_url
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


class Failure(click.ClickException):
    """A failure that is also told as a problem document where the command was given `--json`."""

    def __init__(self, message: str, document: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.document = document


class JsonFailure(click.ClickException):
    """A failure told on stderr as `{"error": {...}}`, in the members of a problem document (RFC 9457)."""

    def __init__(self, error: click.ClickException) -> None:
        super().__init__(error.format_message())
        self.exit_code = error.exit_code  # type: ignore[misc]  # as click sets it for each class
        self.document = getattr(error, "document", None) or {"type": "about:blank", "title": self.message}
        context = getattr(error, "ctx", None) or click.get_current_context(silent=True)
        if isinstance(error, click.UsageError) and context is not None:
            self.document = {**self.document, "usage": context.get_usage()}

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the document."""
        click.echo(json.dumps({"error": self.document}, indent=2, ensure_ascii=False), file=file, err=file is None)


class Later(click.Group):
    """A group that loads a command's module when the command is asked for; `later` tells the module of each.

    A process of one service then holds no code of another, and begins in half the time. Errors are JSON if `--json` is
    among the arguments, also those of usage, which come before a command begins.
    """

    def __init__(self, *arguments: Any, later: Mapping[str, str], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._later = later

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click calls it so
        """Return the names of all commands."""
        return sorted({*self.commands, *self._later})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command, from its module if it is loaded late; None if it is unknown."""
        if cmd_name not in self._later:
            return super().get_command(ctx, cmd_name)
        command: click.Command = getattr(import_module(self._later[cmd_name]), cmd_name)
        return command

    def main(self, args: Sequence[str] | None = None, *rest: Any, standalone_mode: bool = True, **more: Any) -> Any:
        """Run the command; exit with its status unless `standalone_mode` is off."""
        arguments = list(sys.argv[1:] if args is None else args)
        if not standalone_mode or "--json" not in arguments:
            return super().main(arguments, *rest, standalone_mode=standalone_mode, **more)  # type: ignore[call-overload]
        try:
            status = super().main(arguments, *rest, standalone_mode=False, **more)  # type: ignore[call-overload]
        except click.ClickException as error:
            failure = error if isinstance(error, JsonFailure) else JsonFailure(error)
            failure.show()
            sys.exit(failure.exit_code)
        except click.Abort:
            JsonFailure(click.ClickException("Aborted.")).show()
            sys.exit(1)
        sys.exit(status if isinstance(status, int) else 0)


def hub_options(command: Command) -> Command:
    """Add `--data` and `--json`; the command is called with `settings` and `as_json`."""

    @click.option("--data", type=click.Path(path_type=Path), help="Folder of an embedded hub (or FIREWEED_DATA).")
    @click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
    @wraps(command)
    def with_settings(data: Path | None, as_json: bool, **options: Any) -> Any:
        try:
            with _failures():
                settings = Settings(data=data) if data else Settings()
                return command(settings=settings, as_json=as_json, **options)
        except click.ClickException as error:
            if as_json:
                raise JsonFailure(error) from error
            raise

    return with_settings


@contextmanager
def _failures() -> Iterator[None]:
    """Turn what an operator can mend into a `ClickException` that says how."""
    try:
        yield
    except Problem as problem:
        raise Failure(told(problem), problem.as_json()) from problem
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


def of_hub(*services: str) -> Callable[[Command], Command]:
    """Let a command run only where at least one of the services has a database; put it below `hub_options`.

    Without that, the command would make folders and files of a hub that was never there. The services are the
    command's own argument `services` if it has one.
    """

    def decorate(command: Command) -> Command:
        @wraps(command)
        def checked(settings: Settings, **options: Any) -> Any:
            refuse_without_hub(settings, options.get("services") or services)
            return command(settings=settings, **options)

        return checked

    return decorate


def refuse_without_hub(settings: Settings, services: Sequence[str]) -> None:
    """Raise a `ClickException` if none of the services has a database file where the settings say; write nothing."""
    urls = [make_url(settings.database(service)) for service in services]
    files = [Path(url.database) for url in urls if url.get_backend_name() == "sqlite" and url.database]
    # A folder that is a file is told of in other words, by what fails to open it.
    if len(files) < len(urls) or any(file.exists() for file in files) or settings.data.is_file():
        return
    advice = "`fireweed up` begins one, `fireweed migrate` only its databases; --data names another folder."
    raise click.ClickException(f"There is no hub in {settings.data}. {advice}")


def _unusable(error: DatabaseError | Damaged) -> Exception:
    """Return an error that tells an operator what to do about a database or key; any other error unchanged, as a bug."""
    if isinstance(error, Damaged):
        return click.ClickException(f"{error.path} cannot be read. {DAMAGED}")
    if type(error) is DatabaseError:  # as SQLite says of a file
        return click.ClickException(f"A database file cannot be read. {DAMAGED} `fireweed doctor` tells which.")
    if not isinstance(error, OperationalError | ProgrammingError):
        return error
    # SQLite reports a full disk, a file that it cannot open and a missing table all as an operational error.
    why = getattr(error.orig, "sqlite_errorname", type(error).__name__)
    if why == "SQLITE_FULL":
        return click.ClickException(FULL)
    advice = "Is FIREWEED_DATABASE_URL right, and does it run? A new one needs `fireweed migrate`; "
    more = "`fireweed doctor` tells more."
    return click.ClickException(f"The database cannot be used ({why}). {advice}{more}")


def _unwritable(error: OSError) -> Exception:
    """Return an error that tells an operator what to do about a file; an error without a file unchanged, as a bug."""
    if error.errno == ENOSPC:
        return click.ClickException(FULL)
    if error.filename is None:
        return error
    advice = "Choose another with --data or its FIREWEED_ variable, or let this user read and write there."
    return click.ClickException(f"{error.filename} cannot be used ({error.strerror}). {advice}")


def _variable(location: tuple[int | str, ...]) -> list[str]:
    return [f"FIREWEED_{step}".upper() for step in location]


def answer(document: Mapping[str, Any] | list[Any], as_json: bool, lines: Callable[[], list[str]]) -> None:
    """Print a result, as JSON or as rows of text."""
    text = json.dumps(document, indent=2, ensure_ascii=False, default=str) if as_json else "\n".join(lines())
    if text:
        click.echo(text)


def listener_on(port: int, host: str = "127.0.0.1") -> socket.socket:
    """Return a listening socket; raise a `ClickException` if the port cannot be used."""
    try:
        return listen(port, host)
    except OSError as error:
        place, others = (
            (f"Port {port}", "--port") if host == "127.0.0.1" else (f"Port {port} of {host}", "--host or --port")
        )
        told = f"{place} cannot be used ({error.strerror}). Choose another with {others}."
        raise click.ClickException(told) from error


def progress(label: str) -> Callable[[int, int], None]:
    """Return a function that long work calls with (done, total); it prints progress to stderr in steps of 5 %."""
    steps: set[int] = set()

    def show(done: int, total: int) -> None:
        step = 100 * done // max(total, 1) // 5 * 5
        if step not in steps:
            steps.add(step)
            click.echo(f"{label}: {step} % ({done} of {total})", err=True)

    return show


def told(problem: Problem) -> str:
    """Return a problem as text: its title, then each fault with the accepted value."""
    lines = [problem.title]
    for fault in problem.faults:
        accepted = f" Accepted: {fault.accepted}." if fault.accepted else ""
        lines.append(f"  {fault.member}: {fault.detail}{accepted}")
    return "\n".join(lines)
