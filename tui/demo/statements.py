"""The sample application's SQL statements, taken out of its source files, so that what runs is what stands in the code."""

from __future__ import annotations

import ast
import re
import threading
from functools import cache
from pathlib import Path

import msgspec

APPLICATION = Path(__file__).parent / "application"

_VERB = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE)\b")
_NAMED = re.compile(r"%\((\w+)\)s|(?<![:\w]):(\w+)\b")
_TYPESCRIPT_STRING = re.compile(r"`([^`]*)`|\"([^\"\n]*)\"")


class Source(msgspec.Struct, frozen=True):
    """Where a statement stands: the `number`-th SQL string in the function or constant `anchor` of the file `path`.

    `generated` is set where the code there calls the ORM: the SQL that SQLAlchemy 2.0 sends for it through asyncpg.
    """

    path: str
    anchor: str
    number: int = 0
    vectors: bool = False
    generated: str | None = None


class Statement(msgspec.Struct, frozen=True):
    """`text` has `$1`, `$2`, ... as the server gets them; `parameters` are their names, in that order, where it has names.
    `line` is where its text, or the function that has the ORM make it, begins."""

    text: str
    parameters: tuple[str, ...]
    path: str
    line: int


ROUTES = "api/deskhand/routes"
SERVICES = "api/deskhand/services"
WORKER = "worker/src"

SOURCES: dict[str, Source] = {
    "key": Source("api/deskhand/auth.py", "caller"),
    "inbox": Source(f"{ROUTES}/conversations.py", "inbox"),
    "last_message": Source(f"{ROUTES}/conversations.py", "last_message"),
    "count_messages": Source(f"{ROUTES}/conversations.py", "count_messages"),
    "assigned_to": Source(f"{ROUTES}/conversations.py", "assigned_to"),
    "by_external_id": Source(f"{ROUTES}/conversations.py", "by_external_id"),
    "by_source": Source(f"{ROUTES}/conversations.py", "by_source"),
    "feedback": Source(f"{ROUTES}/conversations.py", "give_feedback"),
    "create_conversation": Source(
        f"{ROUTES}/conversations.py",
        "create_conversation",
        generated="INSERT INTO conversations (organization_id, user_id, assigned_user_id, channel, status, subject, metadata,"
        " trace_id, last_message_at) VALUES ($1::BIGINT, $2::BIGINT, $3::BIGINT, $4::VARCHAR, $5::VARCHAR, $6::VARCHAR,"
        " $7::JSONB, $8::VARCHAR, $9::TIMESTAMP WITH TIME ZONE) RETURNING conversations.id, conversations.created_at",
    ),
    "get_conversation": Source(
        f"{ROUTES}/conversations.py",
        "post_message",
        generated="SELECT conversations.id AS conversations_id, conversations.organization_id AS"
        " conversations_organization_id, conversations.user_id AS conversations_user_id, conversations.assigned_user_id AS"
        " conversations_assigned_user_id, conversations.channel AS conversations_channel, conversations.status AS"
        " conversations_status, conversations.subject AS conversations_subject, conversations.metadata AS"
        " conversations_metadata, conversations.trace_id AS conversations_trace_id, conversations.last_message_at AS"
        " conversations_last_message_at, conversations.created_at AS conversations_created_at \nFROM conversations"
        " \nWHERE conversations.id = $1::BIGINT",
    ),
    "lock_conversation": Source(f"{SERVICES}/chat.py", "answer"),
    "history": Source(
        f"{SERVICES}/chat.py",
        "history",
        generated="SELECT messages.id, messages.conversation_id, messages.role, messages.content, messages.model,"
        " messages.openai_request_id, messages.tokens_in, messages.tokens_out, messages.metadata, messages.created_at"
        " \nFROM messages \nWHERE messages.conversation_id = $1::BIGINT ORDER BY messages.created_at"
        " \n LIMIT $2::INTEGER",
    ),
    "add_message": Source(
        f"{SERVICES}/chat.py",
        "answer",
        generated="INSERT INTO messages (conversation_id, role, content, model, openai_request_id, tokens_in, tokens_out)"
        " VALUES ($1::BIGINT, $2::VARCHAR, $3::VARCHAR, $4::VARCHAR, $5::VARCHAR, $6::INTEGER, $7::INTEGER)"
        " RETURNING messages.id, messages.created_at",
    ),
    "add_tool_call": Source(
        f"{SERVICES}/chat.py",
        "answer",
        generated="INSERT INTO tool_calls (message_id, name, arguments, duration_ms) VALUES ($1::INTEGER, $2::VARCHAR,"
        " $3::JSON, $4::INTEGER) RETURNING tool_calls.id, tool_calls.created_at",
    ),
    "add_citation": Source(
        f"{SERVICES}/chat.py",
        "answer",
        generated="INSERT INTO citations (message_id, chunk_id, score) VALUES ($1::INTEGER, $2::BIGINT, $3::FLOAT)"
        " RETURNING citations.id",
    ),
    "touch_conversation": Source(
        f"{SERVICES}/chat.py",
        "answer",
        generated="UPDATE conversations SET last_message_at=$1::TIMESTAMP WITH TIME ZONE"
        " WHERE conversations.id = $2::BIGINT",
    ),
    "tool_calls": Source(f"{SERVICES}/chat.py", "tool_calls_of"),
    "nearest_chunks": Source(f"{SERVICES}/retrieval.py", "NEAREST_CHUNKS", vectors=True),
    "nearest_replies": Source(f"{SERVICES}/retrieval.py", "NEAREST_REPLIES", vectors=True),
    "record_usage": Source(f"{SERVICES}/usage.py", "record"),
    "tokens_since": Source(f"{SERVICES}/usage.py", "tokens_since"),
    "plan": Source(f"{SERVICES}/usage.py", "plan_of"),
    "features": Source(f"{SERVICES}/usage.py", "enabled_features"),
    "known_document": Source(f"{ROUTES}/documents.py", "upload"),
    "add_document": Source(
        f"{ROUTES}/documents.py",
        "upload",
        generated="INSERT INTO documents (organization_id, source_type_id, uploaded_by, title, source_path, checksum, content,"
        " metadata, status) VALUES ($1::BIGINT, $2::SMALLINT, $3::BIGINT, $4::VARCHAR, $5::VARCHAR, $6::VARCHAR,"
        " $7::VARCHAR, $8::JSONB, $9::VARCHAR) RETURNING documents.id, documents.created_at, documents.updated_at",
    ),
    "add_job": Source(f"{ROUTES}/documents.py", "upload", 1),
    "list_documents": Source(f"{ROUTES}/documents.py", "list_documents"),
    "titles": Source(f"{ROUTES}/documents.py", "titles"),
    "suggest": Source(f"{ROUTES}/documents.py", "suggest"),
    "filter_documents": Source(f"{ROUTES}/documents.py", "filter_documents"),
    "by_path": Source(f"{ROUTES}/documents.py", "by_path"),
    "checksums": Source(f"{ROUTES}/documents.py", "checksums"),
    "by_checksum": Source(f"{ROUTES}/documents.py", "by_checksum"),
    "next_reference": Source(f"{ROUTES}/tickets.py", "open_ticket"),
    "open_ticket": Source(
        f"{ROUTES}/tickets.py",
        "open_ticket",
        generated="INSERT INTO tickets (organization_id, conversation_id, reference, title, body, priority, state, closed_at)"
        " VALUES ($1::BIGINT, $2::BIGINT, $3::INTEGER, $4::VARCHAR, $5::VARCHAR, $6::SMALLINT, $7::VARCHAR,"
        " $8::TIMESTAMP WITH TIME ZONE) RETURNING tickets.id, tickets.opened_at",
    ),
    "tickets_of_conversation": Source(f"{ROUTES}/tickets.py", "of_conversation"),
    "ticket_comments": Source(f"{ROUTES}/tickets.py", "comments"),
    "tickets_with_label": Source(f"{ROUTES}/tickets.py", "with_label"),
    "ticket_attachments": Source(f"{ROUTES}/tickets.py", "attachments"),
    "get_organization": Source(
        f"{ROUTES}/billing.py",
        "current_usage",
        generated="SELECT organizations.id AS organizations_id, organizations.name AS organizations_name, organizations.slug"
        " AS organizations_slug, organizations.plan_id AS organizations_plan_id, organizations.stripe_customer_id AS"
        " organizations_stripe_customer_id, organizations.created_at AS organizations_created_at \nFROM organizations"
        " \nWHERE organizations.id = $1::BIGINT",
    ),
    "invoices": Source(f"{ROUTES}/billing.py", "invoices"),
    "api_keys": Source(f"{ROUTES}/billing.py", "api_keys"),
    "message_of_request": Source(f"{ROUTES}/webhooks.py", "openai_batch_finished"),
    "correct_tokens": Source(f"{ROUTES}/webhooks.py", "openai_batch_finished", 1),
    "invoice_paid": Source(f"{ROUTES}/webhooks.py", "stripe_event"),
    "team": Source(f"{ROUTES}/admin.py", "team"),
    "get_user": Source(
        f"{ROUTES}/admin.py",
        "user_page",
        generated="SELECT users.id AS users_id, users.organization_id AS users_organization_id, users.email AS users_email,"
        " users.display_name AS users_display_name, users.role AS users_role, users.preferences AS users_preferences,"
        " users.last_seen_at AS users_last_seen_at, users.created_at AS users_created_at \nFROM users"
        " \nWHERE users.id = $1::BIGINT",
    ),
    "conversations_of_user": Source(
        f"{ROUTES}/admin.py",
        "user_page",
        generated="SELECT conversations.id, conversations.organization_id, conversations.user_id,"
        " conversations.assigned_user_id, conversations.channel, conversations.status, conversations.subject,"
        " conversations.metadata, conversations.trace_id, conversations.last_message_at, conversations.created_at"
        " \nFROM conversations \nWHERE conversations.user_id = $1::BIGINT ORDER BY conversations.created_at DESC"
        " \n LIMIT $2::INTEGER",
    ),
    "flagged": Source(f"{ROUTES}/admin.py", "flagged_messages"),
    "event_counts": Source(f"{ROUTES}/admin.py", "event_counts"),
    "audit": Source(f"{ROUTES}/admin.py", "audit"),
    "add_audit": Source(f"{ROUTES}/admin.py", "add_audit_entry"),
    "export_page": Source("api/scripts/export_messages.py", "EXPORT_PAGE"),
    "paths_from": Source("api/scripts/sync_drive.py", "PATHS_FROM"),
    "take_jobs": Source(f"{WORKER}/queue.ts", "takeJobs"),
    "start_job": Source(f"{WORKER}/queue.ts", "takeJobs", 1),
    "finish_job": Source(f"{WORKER}/queue.ts", "finish"),
    "fail_job": Source(f"{WORKER}/queue.ts", "fail"),
    "failed_jobs": Source(f"{WORKER}/queue.ts", "retryFailed"),
    "retry_job": Source(f"{WORKER}/queue.ts", "retryFailed", 1),
    "document_to_ingest": Source(f"{WORKER}/ingest.ts", "ingestDocument"),
    "delete_chunks": Source(f"{WORKER}/ingest.ts", "ingestDocument", 1),
    "add_chunk": Source(f"{WORKER}/ingest.ts", "ingestDocument", 2, vectors=True),
    "document_ready": Source(f"{WORKER}/ingest.ts", "ingestDocument", 3),
    "near_duplicates": Source(f"{WORKER}/ingest.ts", "nearDuplicates", vectors=True),
    "remember": Source(f"{WORKER}/memories.ts", "remember", vectors=True),
    "memories_of": Source(f"{WORKER}/memories.ts", "memoriesOf"),
    "recall": Source(f"{WORKER}/memories.ts", "recall", vectors=True),
    "ticket_to_embed": Source(f"{WORKER}/tickets.ts", "embedTicket"),
    "embed_ticket": Source(f"{WORKER}/tickets.ts", "embedTicket", 1, vectors=True),
    "similar_tickets": Source(f"{WORKER}/tickets.ts", "similarTickets", vectors=True),
    "close_ticket": Source(f"{WORKER}/tickets.ts", "closeTicket"),
    "usage_lines": Source(f"{WORKER}/invoices.ts", "usageLines"),
    "lines_of": Source(f"{WORKER}/invoices.ts", "linesOf"),
    "customers": Source(f"{WORKER}/invoices.ts", "createInvoices"),
    "add_invoice": Source(f"{WORKER}/invoices.ts", "createInvoices", 1),
    "add_invoice_line": Source(f"{WORKER}/invoices.ts", "createInvoices", 2),
    "delivered": Source(f"{WORKER}/webhooks.ts", "deliverWebhook"),
    "stale": Source(f"{WORKER}/cleanup.ts", "stale"),
    "close_conversation": Source(f"{WORKER}/cleanup.ts", "closeStale"),
    "delete_jobs": Source(f"{WORKER}/cleanup.ts", "cleanUp"),
    "stage": Source(f"{WORKER}/imports.ts", "stage"),
}


@cache
def statement(name: str) -> Statement:
    """The statement of that name. Raises LookupError if the code does not have it where SOURCES says."""
    source = SOURCES[name]
    read = _in_python if source.path.endswith(".py") else _in_typescript
    begin, strings = read((APPLICATION / source.path).read_text("utf-8"), source.anchor)
    if source.generated is not None:
        return Statement(source.generated, (), source.path, begin)
    if source.number >= len(strings):
        raise LookupError(f"{source.path}: {source.anchor} has no SQL string number {source.number}")
    line, text = strings[source.number]
    text, parameters = _numbered(text)
    return Statement(text, parameters, source.path, line)


# CPython 3.11 counts the depth of all trees that are being built in one place: two threads at once make it raise SystemError.
_PARSING = threading.Lock()


def _in_python(code: str, anchor: str) -> tuple[int, list[tuple[int, str]]]:
    with _PARSING:
        tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == anchor:
            break
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == anchor for t in node.targets):
            break
    else:
        raise LookupError(f"there is no {anchor}")
    found = [
        (part.lineno, part.value)
        for part in ast.walk(node)
        if isinstance(part, ast.Constant) and isinstance(part.value, str) and _VERB.match(part.value)
    ]
    return node.lineno, sorted(found)


def _in_typescript(code: str, anchor: str) -> tuple[int, list[tuple[int, str]]]:
    begin = re.search(rf"^(export )?(async )?function {anchor}\(", code, re.MULTILINE)
    if begin is None:
        raise LookupError(f"there is no {anchor}")
    end = code.find("\n}\n", begin.start())
    found = []
    for string in _TYPESCRIPT_STRING.finditer(code, begin.start(), end):
        text = string[1] if string[1] is not None else string[2]
        if _VERB.match(text):
            found.append((code.count("\n", 0, string.start()) + 1, text))
    return code.count("\n", 0, begin.start()) + 1, found


def _numbered(text: str) -> tuple[str, tuple[str, ...]]:
    """`text` with named placeholders numbered as the drivers number them: by first appearance."""
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    return _NAMED.sub(number, text), tuple(names)
