"""A review without the terminal program: observe, check, score, write, judge."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
from platformdirs import user_config_path, user_state_path

from checks.checklist import Selection, run_checks
from checks.errors import ReviewError, StoreError, UsageError
from checks.evidence import store
from checks.evidence.database.facts import Server
from checks.evidence.evidence import Evidence
from checks.evidence.observe import Observation, Target, now, observe
from checks.model import CheckResult, Outcome
from checks.text import visible
from scorecards.answers import read_answers
from scorecards.exports import FORMATS, makes_several_files, render, render_files, write_texts
from scorecards.gate import baseline_of, judge, parse_minimums
from scorecards.history import Side, compare_sides, last_seen, read_side, trend
from scorecards.model import Gate, Scorecard
from scorecards.remembered import results_of
from scorecards.session import Review
from scorecards.store import ReviewFolder, default_root, find
from tui.approval import asker
from tui.arguments import default_dsn, default_repository, parse_size, split_words
from tui.exits import DEFECT, DONE, GATE_FAILED, INTERRUPTED, NOT_REACHED, write_result
from tui.state import Presence, State

Progress = Callable[[str], None] | None


def resolve_target(options: dict[str, Any]) -> Target:
    """The target that the words and options name, completed from the environment. Raises UsageError."""
    dsn, repository = split_words(options["words"])
    if (dsn is not None or options["replicas"]) and options["no_database"]:
        raise UsageError("--no-database contradicts a DSN", "leave one of them out")
    if repository is not None and options["no_repo"]:
        raise UsageError("--no-repo contradicts a repository", "leave one of them out")
    if dsn is None and not options["no_database"]:
        dsn = default_dsn()
    if repository is None and not options["no_repo"]:
        repository = default_repository()
    if dsn is None and repository is None:
        raise UsageError("there is nothing to review", "give a DSN, a repository, or both; or set DATABASE_URL")
    budget = options["index_budget"]
    if budget is not None and (options["no_shadow"] or options["redact_names"] or options["no_database"]):
        raise UsageError(
            "--index-budget needs a shadow",
            "leave --no-shadow, --redact-names and --no-database out; grow makes no advice",
        )
    return Target(
        dsn,
        repository,
        tuple(options["replicas"]),
        pooler=options["pooler"],
        index_budget=parse_size(budget) if budget is not None else None,
        watch_s=options["watch"],
        max_load=options["max_load"],
        redact_names=options["redact_names"],
        shadow=not options["no_shadow"],
        programs=options["pg_bin"],
        measure_recall=options["measure_recall"],
        read_rows=options["read_rows"],
        plans=tuple(options["plans"]),
        analyze=options["analyze"],
        cache=not options["no_cache"],
    )


def gather(options: dict[str, Any], progress: Progress) -> Observation:
    """Evidence from the file of --evidence, else from the live target."""
    if options["evidence"] is not None:
        if options["words"] or options["replicas"] or options["pooler"]:
            raise UsageError("--evidence stands instead of a target", "leave the DSN and the repository out")
        if any(options[name] for name in ("watch", "max_load", "measure_recall", "read_rows", "plans", "analyze")):
            raise UsageError(
                "saved evidence is not observed again",
                "leave --watch, --max-load, --measure-recall, --read-rows, --plan and --analyze out",
            )
        return Observation(_redacted(_tried(store.load(options["evidence"]), options, progress), options))
    target = resolve_target(options)
    with _cancel_on_interrupt() as cancelled:
        observation = observe(
            target,
            user_folder=user_config_path("pgsurveyor"),
            progress=progress,
            cancelled=cancelled,
            ask=asker(cancelled) if target.analyze else None,
            last=lambda evidence: last_seen(evidence, default_root()),
        )
    return msgspec.structs.replace(observation, interrupted=cancelled.is_set())


def _tried(evidence: Evidence, options: dict[str, Any], progress: Progress) -> Evidence:
    """With what a shadow of the statistics in the file tells, if they are there and wanted."""
    budget = parse_size(options["index_budget"]) if options["index_budget"] is not None else None
    blueprint = None if options["no_shadow"] or options["redact_names"] else store.load_blueprint(options["evidence"])
    if blueprint is None:
        if budget is not None:
            raise UsageError(
                "there is no shadow to choose indexes in", "collect --with-statistics, without --redact-names"
            )
        return evidence
    from checks.shadow.step import with_proofs

    with _cancel_on_interrupt() as cancelled:
        tried = with_proofs(
            evidence, blueprint, index_budget=budget, programs=options["pg_bin"], progress=progress, cancelled=cancelled
        )
    return store.decode(store.encode(tried))


def _redacted(evidence: Evidence, options: dict[str, Any]) -> Evidence:
    if not options["redact_names"]:
        return evidence
    from checks.evidence.redaction import names_key, redact

    return redact(evidence, names_key(user_config_path("pgsurveyor")))


@contextlib.contextmanager
def _cancel_on_interrupt() -> Iterator[threading.Event]:
    """The first Ctrl-C asks the observation to end with what it has; a second one ends the program."""
    cancelled = threading.Event()

    def ask(number: int, frame: object) -> None:
        del frame
        if cancelled.is_set():
            signal.default_int_handler(number, None)
        cancelled.set()

    previous = signal.signal(signal.SIGINT, ask)
    try:
        yield cancelled
    finally:
        signal.signal(signal.SIGINT, previous)


def run_review(options: dict[str, Any], selection: Selection, progress: Progress) -> int:
    """The whole of `pgsurveyor run`; the exit status."""
    plan = _plan_output(options)
    answers = read_answers(options["answers"]) if options["answers"] else {}
    observation = gather(options, progress)
    results = run_checks(observation.evidence, selection)
    review = Review.derived(observation.evidence, results, answers)
    if (folder := keep(review)) is not None and options["evidence"] is None:
        remember_repository(folder, resolve_target(options).repository)
    status = _finish(review, options, plan)
    return _worst(status, report_problems(observation.problems), _broken(results), _interrupted(observation))


def export_review(review: Review, options: dict[str, Any]) -> int:
    """The whole of `pgsurveyor export`; the exit status."""
    plan = _plan_output(options)
    if options["answers"]:
        review = review.with_answers(read_answers(options["answers"]))
    return _worst(_finish(review, options, plan), _broken(review.results))


def open_review(name: str) -> Review:
    """The saved review of that folder, id, or beginning of an id, its checks run again over its evidence."""
    folder = find(name)
    return Review(folder, results_of(folder))


def compare_reviews(old: str, new: str) -> str:
    """The whole of `pgsurveyor compare`: Markdown. Where the new side is a saved review, with the trend of its target."""
    from scorecards.exports.since import render_comparison

    before, after = read_side(old), read_side(new)
    folder = after.folder
    points = trend(after.scorecard, folder.evidence(), default_root()) if folder and not folder.milestone else ()
    return render_comparison(compare_sides(before, after), points)


def diagnose_role(options: dict[str, Any], progress: Progress) -> int:
    """The whole of `pgsurveyor doctor`; the exit status."""
    from tui.doctor import diagnose
    from tui.doctor_shadow import shadow_words

    # What a shadow could do is told without making one.
    options = {**options, "no_shadow": True, "index_budget": None}
    observation = gather({**options, "no_repo": True} if not _names_repository(options) else options, progress)
    server = observation.evidence.find(Server)
    if server is None:
        return report_problems(observation.problems)
    lines, results = diagnose(observation.evidence, server)
    if options["evidence"] is None and (dsn := resolve_target(options).dsn) is not None:
        lines += shadow_words(observation.evidence, server, dsn, options["pg_bin"])
    for line in lines:
        click.echo(line)
    return _worst(report_problems(observation.problems), _broken(results))


def report_problems(problems: Sequence[ReviewError]) -> int:
    """Says on standard error what could not be reached; NOT_REACHED if anything."""
    for problem in problems:
        click.echo(visible(f"pgsurveyor: {problem}"), err=True)
        if problem.hint:
            click.echo(visible(f"  {problem.hint}"), err=True)
    return NOT_REACHED if problems else DONE


def _names_repository(options: dict[str, Any]) -> bool:
    return options["evidence"] is not None or options["no_repo"] or split_words(options["words"])[1] is not None


def _broken(results: Sequence[CheckResult]) -> int:
    """DEFECT if a check failed, which is said on standard error."""
    broken = [result for result in results if result.outcome is Outcome.ERROR]
    for result in broken:
        click.echo(visible(f"pgsurveyor: {result.check} failed: {result.message}"), err=True)
    return DEFECT if broken else DONE


def _interrupted(observation: Observation) -> int:
    return INTERRUPTED if observation.interrupted else DONE


def _worst(*statuses: int) -> int:
    """Of several, the one that CONTRACT.md puts first."""
    return next((status for status in (INTERRUPTED, DEFECT, NOT_REACHED, GATE_FAILED) if status in statuses), DONE)


def keep(review: Review) -> ReviewFolder | None:
    """Save the review, so that it can be decided on and compared with. That it cannot be saved does not fail a run: None."""
    try:
        folder = review.save(default_root())
    except StoreError as error:
        click.echo(visible(f"pgsurveyor: the review was not saved: {error}"), err=True)
        return None
    click.echo(
        visible(f"review {folder.id} saved; open it with `pgsurveyor`, or `pgsurveyor export {folder.id}`"), err=True
    )
    return folder


def remember_repository(folder: ReviewFolder, repository: Path | None) -> None:
    """Keeps where the code lies on this machine, for the excerpts and the editor of the terminal program."""
    if repository is not None:
        State(user_state_path("pgsurveyor")).remember_presence(
            folder.id, Presence(repository=str(repository.absolute()))
        )


class _Plan(msgspec.Struct, frozen=True):
    """Which formats go where, and what to compare with; an empty path stands for standard output."""

    formats: tuple[str, ...]
    path: Path | None
    into_folder: bool
    side: Side | None = None


def _plan_output(options: dict[str, Any]) -> _Plan:
    """Checked before anything is observed, so that a long run does not fail at its end. Raises UsageError, StoreError."""
    plan = _plan_files(options)
    side = read_side(options["baseline"]) if options["baseline"] else None
    return msgspec.structs.replace(plan, side=side)


def _plan_files(options: dict[str, Any]) -> _Plan:
    formats = tuple(dict.fromkeys(options["formats"])) or ("markdown",)
    for name in formats:
        if name not in FORMATS:
            raise UsageError(f"no format is called {name!r}", f"there are {', '.join(FORMATS)}")
    parse_minimums(options["minimums"])
    if "new" in options["fail_on"] and options["baseline"] is None:
        raise UsageError("--fail-on new needs --baseline", "give the review or scorecard to compare with")
    if options["output"] == "-":
        if len(formats) > 1:
            raise UsageError("several formats need a folder", "give --output FOLDER")
        if makes_several_files(formats[0]):
            raise UsageError(f"{formats[0]} is several files, which need a folder", "give --output FOLDER")
        return _Plan(formats, None, False)
    path = Path(options["output"])
    into_folder = (
        path.is_dir() or options["output"].endswith("/") or len(formats) > 1 or makes_several_files(formats[0])
    )
    if into_folder and path.exists() and not path.is_dir():
        raise UsageError(f"{path} is a file, and several formats need a folder", "give --output FOLDER")
    if not into_folder and not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent}", "make it first, or choose another --output")
    return _Plan(formats, path, into_folder)


def _finish(review: Review, options: dict[str, Any], plan: _Plan) -> int:
    """Judge the gate, write every format; GATE_FAILED or DONE."""
    scorecard = review.scorecard(as_of=options["as_of"])
    gate = Gate()
    side = plan.side
    if side is not None:
        scorecard = msgspec.structs.replace(scorecard, since=compare_sides(side, Side(scorecard)))
    if options["trend"]:
        points = trend(scorecard, review.evidence, default_root())
        scorecard = msgspec.structs.replace(scorecard, trend=points)
    if options["fail_on"] or options["minimums"]:
        baseline = baseline_of(side.scorecard) if side else None
        minimums = parse_minimums(options["minimums"])
        gate = judge(scorecard, options["fail_on"], minimums, baseline, today=now().date(), waivers=review.waivers)
        scorecard = msgspec.structs.replace(scorecard, gate=gate)
    _write(scorecard, plan)
    for line in gate.failed:
        click.echo(visible(f"gate: {line}"), err=True)
    return GATE_FAILED if gate.failed else DONE


def _write(scorecard: Scorecard, plan: _Plan) -> None:
    if plan.path is None:
        write_result(render(scorecard, plan.formats[0]))
        return
    for name in plan.formats:
        if plan.into_folder:
            write_texts(
                {plan.path / file: text for file, text in render_files(scorecard, name).items()}, make_folders=True
            )
        else:
            write_texts({plan.path: render(scorecard, name)}, make_folders=False)
