"""Embedding models that code and configuration name."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tree_sitter import Node

from checks.evidence.repository.behaviour.outline import Outline
from checks.evidence.repository.facts import EmbeddingModel
from checks.evidence.repository.files import SourceFile
from checks.evidence.repository.orm.syntax import field
from checks.model import Location

# More names than that in one file are a list to choose from.
MAXIMUM_NAMES = 6

_NAMES = (
    r"text-embedding-(?:3-small|3-large|ada-002|00\d)|text-multilingual-embedding-00\d|textembedding-gecko(?:@\d+)?"
    r"|gemini-embedding-[\w.-]+|voyage(?:-(?:code|law|finance|multilingual))?-(?:\d[\w.]*)(?:-(?:large|lite|instruct))?"
    r"|embed-(?:english|multilingual)(?:-light)?-v\d(?:\.\d)?|embed-v4\.0|mistral-embed|codestral-embed(?:-\d+)?"
    r"|nomic-embed-(?:text|code)(?:-v[\d.]+)?|mxbai-embed-(?:large|xsmall)(?:-v\d)?|snowflake-arctic-embed[\w.-]*"
    r"|(?:jina-embeddings|jina-clip)-v\d[\w-]*|(?:amazon\.)?titan-embed-[\w.:-]+|(?:all|multi-qa|paraphrase|msmarco)-(?:MiniLM|mpnet|distilbert"
    r"|distilroberta|multilingual)[\w-]*|bge-(?:small|base|large|m3|micro)[\w.-]*|(?:multilingual-)?e5-(?:small|base|large|mistral)[\w-]*"
    r"|gte-(?:small|base|large|qwen2?)[\w.-]*|Qwen3-Embedding-[\w.]+|embeddinggemma[\w:.-]*|granite-embedding[\w:.-]*|all-minilm(?::\w+)?"
)
_NAME = re.compile(
    rf"(?<!\w)(?<!\w-)(?P<name>(?:(?:sentence-transformers|BAAI|intfloat|thenlper|nomic-ai|mixedbread-ai|Snowflake|jinaai|Qwen|Alibaba-NLP"
    rf"|google|ibm-granite)/)?(?:{_NAMES}))(?![\w-])"
)
# A label for vectors cut to a number of dimensions: `all-MiniLM-L6-v2/256`.
_SHORTENED = re.compile(r"(?P<name>.*[A-Za-z].*)[/@](?P<dimensions>[1-9]\d{1,4})")
_PLAIN = re.compile(r"[\w./:@-]{1,100}")
_BYTES = re.compile(_NAME.pattern.encode())
_STRINGS = frozenset(["string_content", "string_fragment", "template_string", "string"])
_KNOWN_ONLY = frozenset(
    "array list tuple set jsx_attribute binary_expression comparison_operator literal_type union_type switch_case "
    "subscript "
    "subscript_expression".split()
)
_ASKS = re.compile(r"(?:includes|startsWith|startswith|endsWith|literal|enum|meta|describe|test|has|Literal|Set|Map)$")
_DIMENSIONS = re.compile(
    r"\b(?:output_?)?(?:embed(?:ding)?_?)?(?:dim(?:ension)?s?|dimensionality)[\"']?\s*[:=]\s*(\d{2,5})\b", re.IGNORECASE
)
_CONSTANT = re.compile(r"\b\w*(?:EMBED|VECTOR)\w*_?(?:DIM\w*|SIZE)\w*\s*(?::\s*\w+\s*)?=\s*(\d{2,5})\b", re.IGNORECASE)
_COUNTS_TOKENS = re.compile(r"tokeni[sz]", re.IGNORECASE)
_IN_CONFIGURATION = re.compile(r"embed|vector", re.IGNORECASE)
_INGESTS = re.compile(
    r"ingest|index|upsert|chunk|import|documents?\b|_documents|sync|embed_?many|backfill|add_|insert|store_|populate|load|process_?file",
    re.IGNORECASE,
)
_QUERIES = re.compile(
    r"search|query|retriev|recall|similar|find_|findRelevant|match|lookup|answer|\brag\b|ask", re.IGNORECASE
)

_WRITES = re.compile(
    r"\bINSERT\s+INTO\b|\.(?:insert|upsert|add_documents|addDocuments|createMany|bulk_create|insertMany|add_all)\("
)
_SEARCHES = re.compile(r"<=>|<#>|<->|\.rpc\(|similarity_?search|cosine_?distance|\.query\(|ORDER\s+BY", re.IGNORECASE)


def is_candidate(text: str) -> bool:
    """Whether the file may name a model, by a cheap look."""
    return "embed" in text or "voyage" in text or "bge-" in text or "MiniLM" in text or "-e5-" in text or "gte-" in text


def embedding_models_of(outline: Outline) -> Iterator[EmbeddingModel]:
    """The models that the file's strings name; of a file that lists many to choose from none."""
    found: list[EmbeddingModel] = []
    if _COUNTS_TOKENS.search(outline.path):
        return
    for match in _BYTES.finditer(outline.source.bytes):
        node = outline.source.root.descendant_for_byte_range(match.start("name"), match.end("name"))
        if node is None or node.type not in _STRINGS or _is_prose(outline, node) or _is_listed(node):
            continue
        whole = outline.text(node).strip("\"'`")
        name = whole if _PLAIN.fullmatch(whole) else match.group("name").decode()
        shortened = _SHORTENED.fullmatch(name)
        name = shortened.group("name") if shortened else name
        function = outline.function_at(match.start())
        around = _around(outline, node)
        dimensions = _DIMENSIONS.search(around) or _only(_CONSTANT, outline.source.file.text)
        found.append(
            EmbeddingModel(
                name,
                Location(outline.path, outline.line_of(match.start("name"))),
                _use(around, function.name if function else None, outline.path)
                or (_use_by_code(outline.slice(function.start, function.end)) if function else ""),
                int(shortened.group("dimensions")) if shortened else int(dimensions.group(1)) if dimensions else None,
                function.name if function else None,
            )
        )
    if len({model.name for model in found}) <= MAXIMUM_NAMES:
        yield from dict.fromkeys(found)


def configured_models_of(file: SourceFile) -> Iterator[EmbeddingModel]:
    """The models that a settings file names beside a word for embeddings."""
    found = []
    for number, line in enumerate(file.text.splitlines(), 1):
        match = _NAME.search(line) if not line.lstrip().startswith(("#", "//", ";")) and len(line) < 1_000 else None
        if match is not None and _IN_CONFIGURATION.search(line[: match.start()]):
            found.append(EmbeddingModel(match.group("name"), Location(file.path, number)))
    if len({model.name for model in found}) <= MAXIMUM_NAMES:
        yield from found


def _is_prose(outline: Outline, node: Node) -> bool:
    """Whether the string says more than the name: a help text, a message, a docstring."""
    if outline.text(node).count(" ") > 3:
        return True
    whole = node.parent if node.type == "string_content" else node
    statement = whole.parent if whole is not None else None
    return statement is not None and statement.type == "expression_statement"


def _is_listed(node: Node) -> bool:
    """Whether the code only knows of the model: in a list to choose from, a list of prices, a comparison, a hint in a form."""
    current: Node | None = node if node.type in ("string", "template_string") else node.parent
    for _ in range(6):
        parent = current.parent if current is not None else None
        if parent is None or current is None:
            return False
        if parent.type == "pair" and field(parent, "key") == current:
            return True
        if parent.type in _KNOWN_ONLY:
            return not any(child.type in ("||", "??") for child in parent.children)
        if parent.type in ("arguments", "argument_list") and parent.parent is not None:
            callee = field(parent.parent, "function")
            return callee is not None and _ASKS.search((callee.text or b"").decode("utf-8", "replace")) is not None
        if parent.type not in ("pair", "object", "dictionary", "parenthesized_expression"):
            return False
        current = parent
    return False


def _around(outline: Outline, node: Node) -> str:
    """The code of the innermost call, object or statement that holds the string."""
    current: Node | None = node
    for _ in range(12):
        if current is None:
            break
        if current.type in (
            "call",
            "call_expression",
            "new_expression",
            "object",
            "dictionary",
        ) or current.type.endswith(("statement", "declaration")):
            outer = next(iter(outline.calls_around(current.start_byte)), None)
            start, end = (outer.start, outer.end) if outer and current.type in ("object", "dictionary") else (
                current.start_byte, current.end_byte
            )  # fmt: skip
            return outline.slice(start, min(end, start + 2_000))
        current = current.parent
    return ""


def _only(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    found = list(pattern.finditer(text))
    return found[0] if len({match.group(1) for match in found}) == 1 else None


def _use(around: str, function: str | None, path: str) -> str:
    if re.search(r"input_?type[\"']?\s*[:=]\s*[\"'](?:search_)?query", around, re.IGNORECASE):
        return "query"
    if re.search(r"input_?type[\"']?\s*[:=]\s*[\"'](?:search_)?document", around, re.IGNORECASE):
        return "ingest"
    for text in (function or "", path.rpartition("/")[2]):
        queries, ingests = bool(_QUERIES.search(text)), bool(_INGESTS.search(text))
        if queries != ingests:
            return "query" if queries else "ingest"
    return ""


def _use_by_code(code: str) -> str:
    queries, ingests = bool(_SEARCHES.search(code)), bool(_WRITES.search(code))
    return "" if queries == ingests else "query" if queries else "ingest"
