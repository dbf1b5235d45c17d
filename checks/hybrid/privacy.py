"""Who reaches what through vectors: chunks past the policies of their documents, and personal data beside embeddings."""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Embeddings, Table
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import read_pattern
from checks.families import once_per_family
from checks.hybrid.document_keys import referenced_table
from checks.hybrid.searches import function_places
from checks.hybrid.vectors import vector_columns
from checks.model import Confidence, Examined, Finding, Fix, NotApplicable, Severity, qualified_name, quote_identifier
from checks.registry import check
from checks.relations import estimated_rows
from checks.schema.sensitive import sensitive_columns

_PERSONAL = re.compile(
    r"(?:^|_)(?:e_?mail(?:_address)?|phone(?:_number)?|mobile|first_?name|last_?name|full_?name|surname|street|postal_code"
    r"|zip_code|home_address|birth_?(?:date|day)|date_of_birth|ssn|national_id|passport|ip_address)$",
    re.IGNORECASE,
)


@check("hybrid.chunks-without-row-security", catalogue="N18", severity=Severity.HIGH, needs=[Catalog])
@once_per_family
def chunks_without_row_security(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Documents have row security, and their chunks have none.

    Retrieval reads the chunks: whoever may search them is shown text of documents that the policies would hide. A search
    function that is SECURITY DEFINER walks past the policies in the same way.

    Fix: Row security on the chunks too, with a policy by way of their document; SECURITY INVOKER for search functions.

    Example: ALTER TABLE documents ENABLE ROW LEVEL SECURITY with a policy for the owner, and chunks (document_id REFERENCES
    documents, body, embedding) without: a search of chunks returns text of everybody's documents.

    Source: catalogue N18; PostgreSQL manual, "Row Security Policies"

    Observed: documents, policies
    """
    catalog = evidence.get(Catalog)
    tables = {table.oid: table for table, _ in vector_columns(catalog)}
    protected = [table for table in catalog.tables if table.row_security]
    if not protected:
        raise NotApplicable("no table has row security")
    for table in tables.values():
        if table.row_security:
            continue
        for source, column in _sources(catalog, table):
            if source.row_security:
                yield _open(evidence, table, source, column)
                break
    yield from _definers(evidence)
    yield Examined(len(tables), len(tables), "tables with vectors")


def _sources(catalog: Catalog, table: Table) -> Iterator[tuple[Table, str]]:
    """Tables whose rows the vectors were made of, with the column that says so: by foreign key, or else by its name."""
    for entry in catalog.constraints_of(table.oid):
        source = catalog.table_by_oid.get(entry.referenced_table or 0)
        if entry.kind == "foreign_key" and source is not None and source.oid != table.oid and len(entry.columns) == 1:
            yield source, catalog.column(table.oid, entry.columns[0]).name
    for column in catalog.columns_of(table.oid).values():
        found = referenced_table(catalog, table, column.name)
        if found is not None and found.oid != table.oid:
            yield found, column.name


def _open(evidence: Evidence, table: Table, source: Table, column: str) -> Finding:
    catalog = evidence.get(Catalog)
    relation = qualified_name(table.schema, table.name)
    key = next((index for index in catalog.indexes_of(source.oid) if index.primary and len(index.columns) == 1), None)
    policy = ""
    if key is not None:
        name = quote_identifier(catalog.column(source.oid, key.columns[0]).name)
        policy = (
            f" CREATE POLICY of_its_source ON {relation} FOR SELECT USING (EXISTS (SELECT FROM {source.subject.name} AS s "
            f"WHERE s.{name} = {quote_identifier(column)}));"
        )
    return Finding(
        table.subject,
        f"{source.subject.name} has row security, and the vectors of its rows in {table.subject.name} have none",
        Fix(
            "Switch it on for the vectors, with a policy that asks for their source: what the policies of that hide, this hides.",
            sql=f"ALTER TABLE {relation} ENABLE ROW LEVEL SECURITY;{policy}",
            lock="ACCESS EXCLUSIVE",
            undo=f"ALTER TABLE {relation} DISABLE ROW LEVEL SECURITY;"
            + (f" DROP POLICY of_its_source ON {relation};" if policy else ""),
        ),
        confidence=Confidence.MEASURED,
        observed={
            "documents": source.subject.name,
            "policies": [entry.name for entry in catalog.policies_of(source.oid)],
        },
        related=(source.subject,),
        locations=evidence.locations(table.subject),
    )


def _definers(evidence: Evidence) -> Iterator[Finding]:
    """Search functions that run as their owner over tables with row security."""
    catalog, embeddings = evidence.get(Catalog), evidence.find(Embeddings)
    functions = {entry.subject: entry for entry in catalog.functions}
    for subject, bodies in (embeddings.by_function if embeddings else {}).items():
        function = functions.get(subject)
        if function is None or not function.security_definer:
            continue
        read = [pattern for body in bodies if (pattern := read_pattern(body.text, catalog))]
        oids = {search.column.table for pattern in read for search in pattern.searches}
        oids |= {oid for pattern in read if pattern.searches for oid in pattern.tables}
        hidden = [table for oid in oids if (table := catalog.table_by_oid.get(oid or 0)) and table.row_security]
        # A function that asks who calls it looks after that itself.
        if not hidden or any(
            re.search(r"\bauth\.|current_setting|current_user|session_user", body.text) for body in bodies
        ):
            continue
        yield Finding(
            subject,
            f"{function.name} searches {hidden[0].subject.name} as {function.owner or 'its owner'}, past its row security",
            Fix(
                "Let it run as its caller.",
                sql=f"ALTER FUNCTION {subject.name} SECURITY INVOKER;",
                undo=f"ALTER FUNCTION {subject.name} SECURITY DEFINER;",
            ),
            severity=Severity.HIGH if function.executable_by_public else Severity.MEDIUM,
            confidence=Confidence.MEASURED,
            observed={"documents": hidden[0].subject.name,
                      "policies": [entry.name for entry in catalog.policies_of(hidden[0].oid)]},
            related=tuple(table.subject for table in hidden),
            locations=function_places(evidence, subject),
        )  # fmt: skip


@check("hybrid.personal-data-beside-vectors", catalogue="N33", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
def personal_data_beside_vectors(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Secrets or personal data stand in plain text beside embeddings.

    What retrieval returns goes into prompts, logs and answers: a column that is selected with the chunk, or a SELECT *, carries
    it there. And the vector itself was made of the text: where a person asks for deletion, both must go.

    Fix: Embed and return texts without them; keep identities in their own table, reached by id, and delete both together.

    Example: profiles (id, email, phone, bio, embedding), and SELECT * FROM profiles ORDER BY embedding <=> $1 LIMIT 5 that
    fills a prompt: five people's addresses go to the model's vendor.

    Source: catalogue N33; OWASP Top 10 for LLM applications, LLM02 and LLM08

    Observed: columns, rows
    """
    catalog = evidence.get(Catalog)
    tables = {table.oid: table for table, _ in vector_columns(catalog)}
    for table in tables.values():
        secrets = [column.name for column in sensitive_columns(catalog, table)]
        personal = [
            column.name
            for column in catalog.columns_of(table.oid).values()
            if column.type_category == "S" and _PERSONAL.search(column.name) and column.name not in secrets
        ]
        if not secrets and not personal:
            continue
        shown = ", ".join(quote_identifier(name) for name in (*secrets, *personal)[:4])
        yield Finding(
            table.subject,
            f"{table.subject.name} has {shown} beside its embeddings",
            Fix("Move them to a table that retrieval does not read, and see that the embedded text is without them."),
            severity=Severity.MEDIUM if secrets else Severity.LOW,
            confidence=Confidence.INFERRED,
            observed={
                "columns": [*secrets, *personal],
                "rows": round(estimated_rows(evidence, table) or 0),
            },
            locations=evidence.locations(table.subject),
        )
    yield Examined(len(tables), len(tables), "tables with vectors")
