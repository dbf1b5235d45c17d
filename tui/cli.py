"""The command line (CONTRACT.md). Everything heavy is imported inside the command that needs it."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any

import click

from checks import __version__
from checks.errors import ReviewError, UsageError
from tui.exits import (
    DEFECT,
    DONE,
    INTERRUPTED,
    NOT_REACHED,
    WRONG_USAGE,
    complain,
    defect_words,
    forget_standard_output,
    status_of,
    write_result,
)
from tui.options import exporting, observing, seated, selecting
from tui.recording import COMMANDS, open_saved, user

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO})


class _Program(click.Group):
    def invoke(self, context: click.Context) -> Any:
        """A reader that has left has read all it wanted; click would end with 1, which is the gate's."""
        try:
            return super().invoke(context)
        except BrokenPipeError:
            forget_standard_output()
            sys.exit(DONE)


@click.group(cls=_Program, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="pgsurveyor")
@click.option("--debug", is_flag=True, expose_value=False, help="Show a traceback with an error.")
@seated
@click.pass_context
def pgsurveyor(context: click.Context, /, **seat: Any) -> None:
    """An architecture review for AI applications that run on PostgreSQL.

    Looks at a live database and the application's repository, changes neither, and leaves you with a scorecard. Without
    a command it opens the terminal program.

    Put passwords into ~/.pgpass or a service file (PGSERVICE) rather than into a DSN on the command line.
    """
    if context.invoked_subcommand is None:
        _open_terminal_program(seat)
    else:
        given = {name: value for name, value in seat.items() if value}
        context.default_map = dict.fromkeys(("review", "demo", "walk", "serve"), given)


@pgsurveyor.command()
@observing
@selecting
@seated
def review(**options: Any) -> None:
    """Open the terminal program on a target."""
    from tui.unattended import resolve_target

    if options["evidence"] is not None:
        raise UsageError("review takes a live target", "use run --evidence FILE, then open the review it saves")
    _open_terminal_program(options, target=resolve_target(options), selection=_selection(options), start="preflight")


@pgsurveyor.command()
@click.argument("review")
@seated
def walk(review: str, **seat: Any) -> None:
    """Open a saved review in the terminal program, where it was left; several terminals may have it open."""
    from tui.garbage import put_off

    _need_terminal()
    if progress := _progress():
        progress("opening the review")
    put_off()
    opened = open_saved(review)
    _open_terminal_program(seat, review=opened)


@pgsurveyor.command()
@click.option(
    "--check", "only_prepare", is_flag=True, help="Start the demo, print its DSN and code, and stop it again."
)
@seated
def demo(only_prepare: bool, **seat: Any) -> None:
    """Open the terminal program on a sample AI application in an embedded server."""
    from checks.evidence.observe import Target
    from tui.demo.launch import start_demo

    sample = start_demo(progress=_progress())
    try:
        if only_prepare:
            click.echo(f"dsn={sample.dsn}\nrepository={sample.repository}")
        else:
            target = Target(sample.dsn, sample.repository, tuple(sample.replica_dsns), cache=True, shadow=True)
            _open_terminal_program(seat, target=target, start="walk")
    finally:
        sample.stop()


@pgsurveyor.command()
@observing
@selecting
@exporting
def run(**options: Any) -> None:
    """Review a target without the terminal program and write the scorecard."""
    from tui.unattended import run_review

    sys.exit(run_review(options, _selection(options), _progress()))


@pgsurveyor.command()
@observing
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Where the evidence goes.")
@click.option(
    "--with-statistics",
    is_flag=True,
    help="Keep the schema and the planner's statistics too, for a shadow without the target. They hold values of columns.",
)
@click.option("--yes", is_flag=True, help="Keep those values without being asked.")
def collect(output: Path, with_statistics: bool, yes: bool, **options: Any) -> None:
    """Observe a target and save the evidence only."""
    from tui.collecting import collect_evidence

    sys.exit(collect_evidence(output, options, _progress(), with_statistics=with_statistics, yes=yes))


@pgsurveyor.command()
@observing
@click.option("--factors", default="1,10,100,1000", show_default=True, metavar="K,...", help="How many times the size.")
@click.option(
    "--grow",
    "tables",
    multiple=True,
    metavar="TABLE=K,...",
    help="Grow these tables only, each to its own factor (repeatable).",
)
@click.option(
    "--budget",
    type=click.FloatRange(0, min_open=True),
    default=100.0,
    show_default=True,
    metavar="MS",
    help="The mean above which a statement breaks.",
)
def grow(**options: Any) -> None:
    """Plan the statements in a shadow of many times the size: which breaks first, and when.

    The shadow is an embedded server with the target's schema and planner statistics and no row of its data.
    """
    from tui.growing import run_growth

    sys.exit(run_growth(options, _progress()))


@pgsurveyor.command()
@observing
def doctor(**options: Any) -> None:
    """Tell what this role can and can't see, and the GRANTs that would help."""
    from tui.unattended import diagnose_role

    sys.exit(diagnose_role(options, _progress()))


@pgsurveyor.command()
@click.argument("old")
@click.argument("new")
def compare(old: str, new: str) -> None:
    """Tell what changed between two reviews, in Markdown: better, worse, new, gone.

    OLD and NEW are review folders, ids, milestones, or scorecards written with --format json.
    """
    from tui.unattended import compare_reviews

    write_result(compare_reviews(old, new))


@pgsurveyor.command()
@click.argument("review")
@exporting
def export(review: str, **options: Any) -> None:
    """Write the scorecard of a saved review."""
    from tui.unattended import export_review

    sys.exit(export_review(open_saved(review), options))


@pgsurveyor.command()
@click.argument("review", required=False)
@click.option("--host", default="127.0.0.1", help="The address to listen on.")
@click.option("--port", default=8000, type=click.IntRange(0, 65535), help="The port; 0 for any that is free.")
@click.option("--public-url", metavar="URL", help="What browsers see, behind a proxy.")
@click.option("--no-token", is_flag=True, help="Let in everybody on this machine.")
@seated
def serve(review: str | None, host: str, port: int, public_url: str | None, no_token: bool, **seat: Any) -> None:
    """Open the terminal program, or a saved REVIEW, in a browser: on this machine, behind a link that works once."""
    import shlex

    try:
        from tui.serving import serve as serve_command
    except ImportError as error:
        raise UsageError("the browser mode is not installed", "pip install 'pgsurveyor[serve]'") from error
    # -P: nothing is imported from the current folder, which may be the reviewed repository.
    words = [sys.executable, "-P", "-m", "tui.cli"]
    if review is not None:
        from scorecards.store import find

        words += ["walk", str(find(review).path.absolute())]
    for option in ("name", "partner", "role"):
        words += [f"--{option}={seat[option]}"] if seat[option] else []
    words += [f"--{option.replace('_', '-')}" for option in ("follow", "presenter", "no_mouse") if seat[option]]
    serve_command(shlex.join(words), host, port, public_url, with_token=not no_token)


@pgsurveyor.command()
def keys() -> None:
    """Print a keymap with every action, to change and keep as keymap.toml in the configuration folder."""
    from tui.keymap import template

    click.echo(template(), nl=False)


@pgsurveyor.command()
def reviews() -> None:
    """List the saved reviews, newest first."""
    from checks.text import visible
    from scorecards.store import default_root, recent

    for summary in recent(default_root()):
        click.echo(visible(f"{summary.id}  {summary.started:%Y-%m-%d %H:%M}  {summary.title}"))


@pgsurveyor.command()
@click.argument("check_id", required=False, metavar="[ID]")
def checks(check_id: str | None) -> None:
    """List the checks, or explain one."""
    from checks.registry import all_checks
    from tui.explain import explain_check, list_check

    known = all_checks()
    if check_id is None:
        for declared in known.values():
            click.echo(list_check(declared))
        return
    if check_id not in known:
        raise UsageError(f"no check is called {check_id!r}", "`pgsurveyor checks` lists them")
    click.echo(explain_check(known[check_id]))


@pgsurveyor.command()
def rubric() -> None:
    """Show the criteria and questions by which a review is scored."""
    from scorecards.rubric import load_rubric
    from tui.explain import explain_rubric

    click.echo(explain_rubric(load_rubric()))


@pgsurveyor.command()
def schema() -> None:
    """Print the JSON Schema of the scorecard."""
    from scorecards.exports.schema import schema_text

    click.echo(schema_text(), nl=False)


for command in COMMANDS:
    pgsurveyor.add_command(command)


def main() -> None:
    """The program. Every way out has its exit status; a traceback only with --debug."""
    from tui.arguments import hide_passwords

    hide_passwords(sys.argv[1:])
    debug = "--debug" in sys.argv
    try:
        pgsurveyor.main([word for word in sys.argv[1:] if word != "--debug"], "pgsurveyor", standalone_mode=False)
    except click.exceptions.Exit as leaving:
        sys.exit(leaving.exit_code)
    except click.UsageError as error:
        sys.exit(
            complain(error.format_message(), f"see `{error.ctx.command_path} --help`" if error.ctx else "", WRONG_USAGE)
        )
    except (KeyboardInterrupt, click.Abort):
        sys.exit(complain("interrupted", "", INTERRUPTED))
    except ReviewError as error:
        if debug:
            raise
        sys.exit(complain(str(error), error.hint, status_of(error)))
    except Exception as error:
        if debug:
            raise
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            if sys.stdout is not None:
                forget_standard_output()
            sys.exit(complain(f"cannot write: {error.strerror}", "make room, or write elsewhere", NOT_REACHED))
        sys.exit(complain(defect_words(error), "run again with --debug and report what it prints", DEFECT))


def _need_terminal() -> None:
    served = bool(os.environ.get("TEXTUAL_DRIVER"))
    if not served and not all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise UsageError("the terminal program needs a terminal", "use `pgsurveyor run` here")


def _open_terminal_program(seat: dict[str, Any], **options: Any) -> None:
    _need_terminal()
    from tui.app import SurveyorApp
    from tui.company import Seat

    place = Seat(seat["name"] or user(), seat["role"] or "", seat["partner"])
    program = SurveyorApp(seat=place, follow=seat["follow"], presenting=seat["presenter"], **options)
    program.debug_wanted = "--debug" in sys.argv
    program.run(mouse=not seat["no_mouse"])
    if program.defect is not None:
        complain(defect_words(program.defect), "everything you decided is saved; --debug tells more", DEFECT)
        sys.exit(DEFECT)
    if program.return_code:
        sys.exit(program.return_code)


def _selection(options: dict[str, Any]) -> Any:
    from checks.checklist import Selection

    return Selection(options["only"], options["skip"], options["style"])


def _progress() -> Any:
    """Writes to standard error, and only to a terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        return None
    from checks.text import visible

    return lambda words: click.echo(visible(f"  {words}"), err=True)


if __name__ == "__main__":
    main()
