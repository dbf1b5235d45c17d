from dataclasses import dataclass, field
from typing import Any

from openai import AsyncOpenAI
from sentence_transformers import SentenceTransformer

from deskhand.config import get_settings

settings = get_settings()
client = AsyncOpenAI(api_key=settings.openai_api_key or "unset")
_encoder: SentenceTransformer | None = None


@dataclass
class CalledTool:
    name: str
    arguments: dict[str, Any]
    duration_ms: int


@dataclass
class Reply:
    content: str
    request_id: str
    tokens_in: int
    tokens_out: int
    tool_calls: list[CalledTool] = field(default_factory=list)


async def complete(system: str, history: list[tuple[str, str]], sources: list[str]) -> Reply:
    messages = [{"role": "system", "content": system}]
    messages += [{"role": role, "content": content} for role, content in history]
    messages.append({"role": "system", "content": "Sources:\n\n" + "\n---\n".join(sources)})
    response = await client.chat.completions.create(model=settings.openai_model, messages=messages)
    choice = response.choices[0]
    return Reply(
        content=choice.message.content or "",
        request_id=response.id,
        tokens_in=response.usage.prompt_tokens,
        tokens_out=response.usage.completion_tokens,
    )


def embed(sentence: str) -> list[float]:
    global _encoder
    if _encoder is None:
        _encoder = SentenceTransformer(settings.embedding_model)
    return _encoder.encode(sentence, normalize_embeddings=True).tolist()


def as_vector(values: list[float]) -> str:
    return "[" + ",".join(f"{value:.6f}" for value in values) + "]"
