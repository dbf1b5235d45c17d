"""Embedding models that are widely known: dimensions, and whether their vectors have length 1."""

from __future__ import annotations

import re

import msgspec

from checks.evidence.repository.facts import EmbeddingModel


class Known(msgspec.Struct, frozen=True):
    """`dimensions` by default (source: the vendors' model cards). `unit_length`: vectors come normalised. `shortens`: the
    model gives fewer dimensions where it is asked to."""

    dimensions: int
    unit_length: bool = True
    shortens: bool = False


KNOWN: dict[str, Known] = {
    "text-embedding-3-small": Known(1536, shortens=True),
    "text-embedding-3-large": Known(3072, shortens=True),
    "text-embedding-ada-002": Known(1536),
    "embed-english-v3.0": Known(1024, unit_length=False),
    "embed-multilingual-v3.0": Known(1024, unit_length=False),
    "embed-english-light-v3.0": Known(384, unit_length=False),
    "all-minilm-l6-v2": Known(384),
    "all-minilm-l12-v2": Known(384),
    "all-mpnet-base-v2": Known(768),
    "gte-small": Known(384),
    "gte-base": Known(768),
    "gte-large": Known(1024),
    "bge-small-en-v1.5": Known(384),
    "bge-base-en-v1.5": Known(768),
    "bge-large-en-v1.5": Known(1024),
    "bge-m3": Known(1024),
    "nomic-embed-text": Known(768, unit_length=False, shortens=True),
    "mxbai-embed-large": Known(1024, unit_length=False, shortens=True),
    "text-embedding-004": Known(768),
    "text-embedding-005": Known(768),
    "gemini-embedding-001": Known(3072, unit_length=False, shortens=True),
    "voyage-3": Known(1024),
    "voyage-3-lite": Known(512),
    "voyage-3-large": Known(1024, shortens=True),
    "voyage-code-3": Known(1024, shortens=True),
    "jina-embeddings-v3": Known(1024, shortens=True),
    "mistral-embed": Known(1024),
    "multilingual-e5-small": Known(384),
    "multilingual-e5-base": Known(768),
    "multilingual-e5-large": Known(1024),
}


_PROVIDER = re.compile(
    r"^(?:openai|azure(?:_openai)?|voyage(?:ai)?|cohere|google(?:ai)?|gemini|vertex(?:ai)?|mistral(?:ai)?|ollama|bedrock"
    r"|jina(?:ai)?|nvidia|together(?:ai)?|huggingface|hf|litellm|openrouter|fireworks):(?=.)"
)


def plain_name(name: str) -> str:
    """`text-embedding-3-small` of `openai/text-embedding-3-small`, `openai:...`, `models/...:latest` and the like, in lower
    case."""
    plain = _PROVIDER.sub("", name.strip().lower())
    return re.split(r"[/:]", re.sub(r":[\w.-]+$|/\d+$", "", plain))[-1]


def known(name: str) -> Known | None:
    return KNOWN.get(plain_name(name))


def dimensions_of(name: str) -> int | None:
    """Dimensions that the model gives unless it is asked for others; None if it is not known here."""
    model = known(name)
    return model.dimensions if model else None


def is_certain(model: EmbeddingModel) -> bool:
    """Whether the number of dimensions follows from what the code says: it asks for them, or the model has one number only."""
    found = known(model.name)
    return model.dimensions is not None or (found is not None and not found.shortens)
