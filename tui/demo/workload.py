"""Uses the demo's database as the sample application would, so that its statistics are those of real use.

What runs is the application's own SQL (tui.demo.statements), under its roles and application names, with parameters that
are the same on every build.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import threading
from collections.abc import Callable, Sequence
from random import Random
from types import TracebackType
from typing import Any, Self

import psycopg

from tui.demo.statements import SOURCES, statement

NOW = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
MESSAGE_STEP = 9187
BIGGEST_CUSTOMER = 1


class Client:
    """One connection of the application. Parameters go as text of unknown type, so that the server infers the types, as it does
    for asyncpg and node-postgres."""

    def __init__(self, dsn: str, application_name: str, seed: int, vectors: bool) -> None:
        self.random = Random(seed)
        self.vectors = vectors
        self._connection = psycopg.connect(
            dsn,
            application_name=application_name,
            autocommit=True,
            prepare_threshold=None,
            cursor_factory=psycopg.RawCursor,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def run(self, name: str, *values: Any, **named: Any) -> list[tuple[Any, ...]]:
        """Runs a statement of the application and returns its rows: none where it needs vectors and there are none."""
        if SOURCES[name].vectors and not self.vectors:
            return []
        found = statement(name)
        values = values or tuple(named[parameter] for parameter in found.parameters)
        return self._execute(found.text, values)

    def begin(self) -> None:
        self._execute("BEGIN", ())

    def commit(self) -> None:
        self._execute("COMMIT", ())

    def vector(self, dimensions: int) -> str:
        """A random unit-free vector, as pgvector reads it."""
        return "[" + ",".join(f"{self.random.random() - 0.5:.5f}" for _ in range(dimensions)) + "]"

    def _execute(self, text: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        cursor = self._connection.execute(text, [_as_text(value) for value in values])
        return cursor.fetchall() if cursor.description else []


def use(dsn_of: Callable[[str], str], *, vectors: bool) -> None:
    """Runs the whole workload. `dsn_of` gives the connection string of a role. Raises the first error of any connection."""
    errors: list[BaseException] = []

    def guard(work: Callable[[Client], None], role: str, application: str, seed: int) -> None:
        try:
            with Client(dsn_of(role), application, seed, vectors) as client:
                work(client)
        except BaseException as error:
            errors.append(error)

    parts = [
        (_visitors, "assistant_api", "deskhand-api", 1),
        (_agents, "assistant_api", "deskhand-api", 2),
        (_worker, "assistant_worker", "deskhand-worker", 3),
        (_scripts, "assistant_owner", "deskhand-export", 4),
    ]
    threads = [threading.Thread(target=guard, args=part) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def wait_for_the_model(dsn: str) -> psycopg.Connection[Any]:
    """A request that has locked its conversation and waits for the answer of the model, its transaction open."""
    connection = psycopg.connect(
        dsn, application_name="deskhand-api", autocommit=True, cursor_factory=psycopg.RawCursor
    )
    connection.execute("BEGIN")
    connection.execute(statement("lock_conversation").text, ["29876"])
    return connection


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, dt.datetime | dt.date) else str(value)


def _visitors(api: Client) -> None:
    """The chat: questions, answers, sources."""
    draw = api.random.randint
    for number in range(120):
        organization = BIGGEST_CUSTOMER if number % 8 else draw(2, 400)
        conversation = draw(1, 30000)
        api.begin()
        _authenticate(api)
        api.run("get_conversation", conversation)
        api.run("add_message", conversation, "user", f"What does error {number} mean?", None, None, None, None)
        api.run("lock_conversation", conversation_id=conversation)
        api.run("history", conversation, 50)
        sources = api.run("nearest_chunks", question=api.vector(384), organization_id=organization, limit=8)
        request = hashlib.md5(f"new{number}".encode()).hexdigest()
        answer = api.run(
            "add_message", conversation, "assistant", f"Error {number} is harmless.", "gpt-4o-mini",
            f"chatcmpl-{request}", 900, 80,
        )[0][0]  # fmt: skip
        if number % 3 == 0:
            api.run("add_tool_call", answer, "lookup_order", json.dumps({"dry_run": "false"}), 120)
        for source in sources[:2]:
            api.run("add_citation", answer, source[0], round(source[3], 4))
        api.run("touch_conversation", NOW + dt.timedelta(seconds=number), conversation)
        api.run(
            "record_usage", organization_id=organization, api_key_id=draw(1, 800), kind="chat", model="gpt-4o-mini",
            tokens=980, cost_micros=588,
        )  # fmt: skip
        api.commit()
        if number % 4 == 0:
            api.run("tool_calls", message_id=6 * draw(1, 25000) * MESSAGE_STEP)
            api.run("nearest_replies", question=api.vector(384))
            api.run("features")
            api.run("feedback", message_id=answer, user_id=draw(1, 12000), rating=draw(1, 5), comment=None)
    for number in range(30):
        metadata = json.dumps({"external_id": f"crm-new-{number}", "source": "campaign-7"})
        api.run(
            "create_conversation",
            BIGGEST_CUSTOMER,
            draw(1, 12000),
            None,
            "widget",
            "open",
            "Refund",
            metadata,
            None,
            None,
        )
    for _ in range(30):
        api.run(
            "message_of_request",
            request_id="chatcmpl-" + hashlib.md5(f"request{draw(1, 90000) * 2}".encode()).hexdigest(),
        )
        api.run("correct_tokens", tokens_in=900, tokens_out=85, id=2 * draw(1, 90000) * MESSAGE_STEP)


def _agents(api: Client) -> None:
    """People at work: inbox, tickets, documents, billing."""
    draw = api.random.randint
    for _ in range(170):
        organization = draw(1, 400)
        _authenticate(api)
        for conversation in api.run("inbox", organization_id=organization):
            api.run("last_message", conversation_id=conversation[0])
            api.run("count_messages", conversation_id=conversation[0])
    for number in range(60):
        organization = BIGGEST_CUSTOMER if number % 2 else draw(2, 400)
        api.run("assigned_to", user_id=draw(1, 600))
        api.run("by_external_id", external_id=f"crm-{draw(1, 30000)}")
        api.run("by_source", source=f"campaign-{draw(0, 249)}")
        api.run("team", organization_id=organization)
        user = draw(1, 12000)
        api.run("get_user", user)
        api.run("conversations_of_user", user, 20)
        api.run("titles", after=f"{api.random.choice(['Billing', 'Contract', 'Router'])} guide {draw(1, 5000)}")
        api.run("suggest", pattern=f"Router guide {draw(10, 99)}%")
        api.run("filter_documents", facts=json.dumps({"product": f"product-{draw(0, 119)}", "language": "de"}))
        path = hashlib.md5(f"path{draw(1, 5000)}".encode()).hexdigest()
        api.run("by_path", source_path=f"/drive/legal/{path}.md")
        checksum = hashlib.sha256(f"document{draw(1, 5000)}".encode()).hexdigest()
        api.run("by_checksum", checksum=checksum)
        api.run("checksums", after=checksum)
        api.run("known_document", checksum=checksum, organization_id=organization)
        api.run("tickets_of_conversation", conversation_id=draw(1, 30000))
        ticket = draw(1, 12000)
        api.run("ticket_comments", ticket_id=ticket, organization_id=1 + (ticket * 7) % 400)
        api.run("tickets_with_label", label_id=19 * draw(1, 900))
        api.run("ticket_attachments", ticket_id=2 * draw(1, 4000))
        api.run("get_organization", organization)
        api.run("tokens_since", organization_id=organization, since=NOW - dt.timedelta(days=20))
        api.run("plan", code="team")
        api.run("invoices", organization_id=organization)
        api.run("api_keys", organization_id=organization)
        api.run("event_counts", organization_id=organization, since=NOW - dt.timedelta(days=30), until=NOW)
    for number in range(25):
        api.run("flagged")
        api.run("audit", since=NOW - dt.timedelta(hours=draw(1, 200)))
        api.run("list_documents", limit=50, offset=50 * (number * 4 % 97))
        api.run(
            "add_audit", actor_type="user", actor_id=draw(1, 800), action="ticket.closed", target_type="ticket",
            target_id=draw(1, 12000),
        )  # fmt: skip
        api.run(
            "invoice_paid",
            stripe_invoice_id="in_" + hashlib.md5(f"invoice{number * 12 + 12}".encode()).hexdigest()[:14],
        )
        title, checksum = f"Roaming guide {5000 + number}", hashlib.sha256(f"new{number}".encode()).hexdigest()
        document = api.run(
            "add_document", draw(1, 400), 1, draw(1, 12000), title, f"/drive/faq/{number}.md", checksum, "Soon.", "{}",
            "pending",
        )[0][0]  # fmt: skip
        api.run("add_job", payload=json.dumps({"document_id": document}))
        reference = api.run("next_reference")[0][0]
        api.run(
            "open_ticket", draw(1, 400), draw(1, 30000), reference, "Refund", "Asks for money back.", 3, "new", None
        )


def _worker(worker: Client) -> None:
    """Jobs, ingestion, embeddings, invoices, clean-up."""
    draw = worker.random.randint
    for number in range(60):
        for job, *_ in worker.run("failed_jobs", 5)[:2]:
            worker.run("retry_job", job)
        worker.begin()
        jobs = worker.run("take_jobs", 3)
        for job, *_ in jobs:
            worker.run("start_job", job, "worker-1")
        worker.commit()
        for job, *_ in jobs:
            if number % 9:
                worker.run("finish_job", job)
            else:
                worker.run("fail_job", job, "timeout")
    for number in range(14):
        document = 100 + 17 * number
        worker.run("document_to_ingest", document)
        if worker.vectors:
            worker.begin()
            worker.run("delete_chunks", document)
            for position in range(4):
                worker.run("add_chunk", document, position, f"Part {position} of {document}.", worker.vector(384))
            worker.run("document_ready", document)
            worker.commit()
    for number in range(40):
        if number % 2:
            worker.run("near_duplicates", worker.vector(384))
        worker.run("recall", worker.vector(256))
        worker.run("memories_of", draw(1, 12000))
        worker.run("similar_tickets", worker.vector(256))
        ticket = draw(1, 12000)
        worker.run("ticket_to_embed", ticket)
        worker.run("embed_ticket", ticket, worker.vector(256), "all-MiniLM-L6-v2/256")
        worker.run("close_ticket", ticket)
        worker.run("delivered", f"evt_new_{number}", "https://hooks.example.com/1", '{"event": "message.created"}', 200)
        worker.run("lines_of", draw(1, 4800))
        worker.run("stage", "customers-2026-12", number, "Customer;customer@example.com")
    for _ in range(8):
        worker.run("remember", draw(1, 12000), "Writes in French.", worker.vector(256), "all-MiniLM-L6-v2/256")
    for organization, *_ in worker.run("customers")[:40]:
        worker.run("usage_lines", organization, NOW - dt.timedelta(days=50), NOW - dt.timedelta(days=20))
        worker.begin()
        invoice = worker.run("add_invoice", organization, "2026-12-01", 4200)[0][0]
        worker.run("add_invoice_line", invoice, "chat", 120000, 1)
        worker.commit()
        for conversation in worker.run("stale", organization, NOW - dt.timedelta(days=30))[:3]:
            worker.run("close_conversation", conversation[0])
    for _ in range(3):
        worker.run("delete_jobs", 500)


def _scripts(owner: Client) -> None:
    """What people run by hand: the export for fine-tuning, the comparison with the drive."""
    for page in range(45):
        owner.run("export_page", limit=1000, offset=1000 * page)
    after = ""
    for _ in range(20):
        after = owner.run("paths_from", after=after)[-1][1]


def _authenticate(api: Client) -> None:
    key = api.random.randint(1, 800)
    api.run("key", key_hash=hashlib.sha256(f"key{key}".encode()).hexdigest())
