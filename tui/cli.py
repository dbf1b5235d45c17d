"""The command line (CONTRACT.md). Everything heavy is imported inside the command that needs it."""

from __future__ import annotations

import datetime as dt
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from checks import __version__
from checks.errors import EvidenceError, ExportError, ReviewError, StoreError, TargetError, UsageError

if TYPE_CHECKING:
    from scorecards.session import Review

DONE, GATE_FAILED, WRONG_USAGE, NOT_REACHED, DEFECT, INTERRUPTED = 0, 1, 2, 3, 4, 130

Command = TypeVar("Command", bound=Callable[..., Any])

DECISIONS = ("accept", "waive", "follow-up", "dispute", "reopen")
AREAS = ("schema", "indexing", "plans", "replication", "observability", "hybrid")


def day_option(name: str, words: str) -> Callable[[Command], Command]:
    """An option that takes a calendar day, YYYY-MM-DD."""

    def to_date(context: click.Context, parameter: click.Parameter, value: dt.datetime | None) -> dt.date | None:
        del context, parameter
        return value.date() if value else None

    return click.option(name, type=click.DateTime(["%Y-%m-%d"]), metavar="DATE", callback=to_date, help=words)


def observing(command: Any) -> Any:
    """The arguments of commands that look at a target."""
    for decorate in (
        click.argument("words", nargs=-1, metavar="[DSN] [REPO]"),
        click.option("--replica", "replicas", multiple=True, metavar="DSN", help="A further node (repeatable)."),
        click.option("--pooler", metavar="DSN", help="PgBouncer's console: who waits for a connection, and how long."),
        click.option("--no-database", is_flag=True, help="Leave the database out."),
        click.option("--no-repo", is_flag=True, help="Leave the repository out."),
        click.option("--evidence", type=click.Path(path_type=Path), help="Saved evidence instead of a live target."),
        click.option(
            "--watch",
            type=click.FloatRange(0, 3600),
            default=0.0,
            metavar="SECONDS",
            help="Look twice, this far apart, and tell rates.",
        ),
        click.option("--no-shadow", is_flag=True, help="Try no fix in an embedded server; pg_dump is not run either."),
        click.option(
            "--pg-bin", type=click.Path(path_type=Path), metavar="DIR", help="PostgreSQL's programs for the shadow."
        ),
        click.option(
            "--index-budget",
            metavar="SIZE",
            help="Choose new indexes for the whole workload in the shadow, of this size together (as 500MB).",
        ),
        click.option(
            "--max-load", is_flag=True, help="Stop observing where the server is busy, or sessions wait for locks."
        ),
        click.option(
            "--measure-recall", is_flag=True, help="Search a sample of vectors, exactly and by index, and compare."
        ),
        click.option(
            "--read-rows",
            is_flag=True,
            help="Count the forms of values in up to 1,000 rows of each table; no value is kept.",
        ),
        click.option(
            "--plan",
            "plans",
            multiple=True,
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Plans: of EXPLAIN (ANALYZE, BUFFERS), text or JSON, or auto_explain's log (repeatable).",
        ),
        click.option(
            "--analyze",
            is_flag=True,
            help="Run costly SELECTs once (EXPLAIN ANALYZE): you are asked before each, with its values.",
        ),
        click.option("--redact-names", is_flag=True, help="Keep a hash instead of each name of the target's own."),
        click.option("--no-cache", is_flag=True, help="Read the whole repository again, and keep nothing of it."),
    ):
        command = decorate(command)
    return command


def seated(command: Any) -> Any:
    """The options of everything that opens the terminal program: who sits there, and how it looks."""
    for decorate in (
        click.option("--name", default="", metavar="NAME", help="Who decides here (default: your login)."),
        click.option("--partner", default="", metavar="NAME", help="Who sits beside you."),
        click.option("--role", type=click.Choice(["driver", "navigator"]), help="Your part in the session."),
        click.option("--follow", is_flag=True, help="Go where the driver's terminal goes, until you press a key."),
        click.option("--presenter", is_flag=True, help="Light, roomy, hosts and names masked."),
        click.option("--no-mouse", is_flag=True, help="Leave the mouse to the terminal."),
    ):
        command = decorate(command)
    return command


def selecting(command: Any) -> Any:
    """The options that choose among the checks."""
    for decorate in (
        click.option("--only", multiple=True, metavar="ID-OR-AREA", help="Run these checks only (repeatable; globs)."),
        click.option("--skip", multiple=True, metavar="ID-OR-AREA", help="Leave these checks out (repeatable; globs)."),
        click.option("--style", is_flag=True, help="Run the checks of style too."),
    ):
        command = decorate(command)
    return command


def exporting(command: Any) -> Any:
    """The options that say what comes out."""
    for decorate in (
        click.option(
            "--format", "formats", multiple=True, metavar="FORMAT", help="markdown (default), comment, json, ..."
        ),
        click.option("--output", default="-", metavar="PATH", help="A file, a folder, or - for standard output."),
        click.option("--answers", type=click.Path(path_type=Path), help="Answers to the questions (TOML)."),
        click.option(
            "--baseline",
            metavar="REVIEW",
            help="A review folder, its id, a milestone, or a scorecard JSON to compare with.",
        ),
        click.option("--trend", is_flag=True, help="Add the levels of the saved reviews of the same target."),
        click.option(
            "--fail-on", multiple=True, type=click.Choice(["red", "new", "never"]), help="When to exit with 1."
        ),
        click.option("--min", "minimums", multiple=True, metavar="AREA=LEVEL", help="Lowest level that passes."),
        day_option("--as-of", "The day that date rules are judged at."),
    ):
        command = decorate(command)
    return command


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
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
    opened = _open_review(review)
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
@click.argument("review")
@click.argument("finding")
@click.argument("kind", type=click.Choice(DECISIONS))
@click.option("--reason", help="Why, in words; for waive one of the closed list and, after a colon, words.")
@click.option("--owner", help="Who takes care of it.")
@day_option("--expires", "Until when a waiver holds (at most 365 days).")
@day_option("--due", "Until when it is to be done.")
@click.option("--note", help="A remark to keep with the decision.")
def decide(review: str, finding: str, kind: str, **details: Any) -> None:
    """Decide about a finding of a saved review."""
    _open_review(review).decide(finding, kind, by=_user(), now=_now(), **details)


@pgsurveyor.command()
@click.argument("review")
@click.argument("question")
@click.argument("value")
@click.option("--artefact", metavar="URL-OR-PATH", help="What proves it.")
@day_option("--artefact-date", "The day of that proof.")
def answer(review: str, question: str, value: str, **details: Any) -> None:
    """Answer a question of a saved review: yes, no, unknown, or words."""
    _open_review(review).answer(question, value, by=_user(), now=_now(), **details)


@pgsurveyor.command()
@click.argument("review")
@click.argument("finding")
@click.argument("text")
def note(review: str, finding: str, text: str) -> None:
    """Keep a remark with a finding."""
    _open_review(review).note(finding, text, by=_user(), now=_now())


@pgsurveyor.command()
@click.argument("review")
@click.argument("finding")
@click.argument("owner")
def assign(review: str, finding: str, owner: str) -> None:
    """Give a finding an owner."""
    _open_review(review).assign(finding, owner, by=_user(), now=_now())


@pgsurveyor.command()
@click.argument("review")
def undo(review: str) -> None:
    """Take back the last event of a review."""
    undone = _open_review(review).undo(by=_user(), now=_now())
    click.echo(f"undone: {undone}" if undone else "there is nothing to undo")


@pgsurveyor.command()
@click.argument("review")
@click.argument("name")
def milestone(review: str, name: str) -> None:
    """Freeze a review as it is now: REVIEW@NAME cannot change."""
    from scorecards.store import find

    frozen = find(review).freeze(name, by=_user(), now=_now())
    click.echo(f"{frozen.id}@{frozen.milestone}")


@pgsurveyor.command()
@click.argument("old")
@click.argument("new")
def compare(old: str, new: str) -> None:
    """Tell what changed between two reviews, in Markdown: better, worse, new, gone.

    OLD and NEW are review folders, ids, milestones, or scorecards written with --format json.
    """
    from tui.unattended import compare_reviews

    click.echo(compare_reviews(old, new), nl=False)


@pgsurveyor.command()
@click.argument("review")
@exporting
def export(review: str, **options: Any) -> None:
    """Write the scorecard of a saved review."""
    from tui.unattended import export_review

    sys.exit(export_review(_open_review(review), options))


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
    words = [sys.executable, "-m", "tui.cli"]
    if review is not None:
        from scorecards.store import find

        words += ["walk", str(find(review).path.absolute())]
    for option in ("name", "partner", "role"):
        words += [f"--{option}={seat[option]}"] if seat[option] else []
    words += [f"--{option}" for option in ("follow", "presenter") if seat[option]]
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
            _complain(
                error.format_message(), f"see `{error.ctx.command_path} --help`" if error.ctx else "", WRONG_USAGE
            )
        )
    except (KeyboardInterrupt, click.Abort):
        sys.exit(_complain("interrupted", "", INTERRUPTED))
    except BrokenPipeError:
        _forget_standard_output()
        sys.exit(DONE)
    except ReviewError as error:
        if debug:
            raise
        sys.exit(_complain(str(error), error.hint, _status(error)))
    except Exception as error:
        if debug:
            raise
        sys.exit(_complain(_defect_words(error), "run again with --debug and report what it prints", DEFECT))


def _defect_words(error: Exception) -> str:
    return f"a defect of pgsurveyor: {type(error).__name__}: {error}"


def _status(error: ReviewError) -> int:
    if isinstance(error, UsageError):
        return WRONG_USAGE
    return NOT_REACHED if isinstance(error, TargetError | EvidenceError | StoreError | ExportError) else DEFECT


def _complain(message: str, hint: str, status: int) -> int:
    from checks.text import visible

    click.echo(visible(f"pgsurveyor: {message}".replace("\n", " ")), err=True)
    if hint:
        click.echo(visible(f"  {hint}".replace("\n", " ")), err=True)
    return status


def _forget_standard_output() -> None:
    """A closed pipe must not be reported again when Python flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _need_terminal() -> None:
    served = bool(os.environ.get("TEXTUAL_DRIVER"))
    if not served and not (sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty()):
        raise UsageError("the terminal program needs a terminal", "use `pgsurveyor run` here")


def _open_terminal_program(seat: dict[str, Any], **options: Any) -> None:
    _need_terminal()
    from tui.app import SurveyorApp
    from tui.company import Seat

    place = Seat(seat["name"] or _user(), seat["role"] or "", seat["partner"])
    program = SurveyorApp(seat=place, follow=seat["follow"], presenting=seat["presenter"], **options)
    program.debug_wanted = "--debug" in sys.argv
    program.run(mouse=not seat["no_mouse"])
    if program.defect is not None:
        _complain(_defect_words(program.defect), "everything you decided is saved; --debug tells more", DEFECT)
        sys.exit(DEFECT)
    if program.return_code:
        sys.exit(program.return_code)


def _open_review(name: str) -> Review:
    from tui.unattended import open_review

    return open_review(name)


def _selection(options: dict[str, Any]) -> Any:
    from checks.checklist import Selection

    return Selection(options["only"], options["skip"], options["style"])


def _progress() -> Any:
    """Writes to standard error, and only to a terminal."""
    if not sys.stderr.isatty():
        return None
    from checks.text import visible

    return lambda words: click.echo(visible(f"  {words}"), err=True)


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(microsecond=0)


if __name__ == "__main__":
    main()
