from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from deskhand.config import get_settings
from deskhand.models import Citation, Conversation, Message, ToolCall
from deskhand.services import llm, retrieval, usage

settings = get_settings()

SYSTEM_PROMPT = """You are the support assistant of {organization}. Answer from the sources only.
If they do not have the answer, say so and offer to open a ticket."""


async def history(session: AsyncSession, conversation_id: int) -> Sequence[Message]:
    statement = (
        select(Message)
        .where(Message.conversation_id == conversation_id)
        .order_by(Message.created_at)
        .limit(settings.history_limit)
    )
    return (await session.scalars(statement)).all()


async def answer(session: AsyncSession, conversation: Conversation, question: str, *, api_key_id: int) -> Message:
    """Saves the question, asks the model, saves the answer and where it came from."""
    asked = Message(conversation_id=conversation.id, role="user", content=question)
    session.add(asked)
    # Nobody else may answer this conversation while the model is thinking.
    await session.execute(
        text("SELECT id, status FROM conversations WHERE id = :conversation_id FOR UPDATE"),
        {"conversation_id": conversation.id},
    )

    messages = await history(session, conversation.id)
    sources = await retrieval.search(session, conversation.organization_id, question)
    reply = await llm.complete(
        system=SYSTEM_PROMPT.format(organization=conversation.organization_id),
        history=[(message.role, message.content) for message in messages],
        sources=[source.content for source in sources],
    )

    answered = Message(
        conversation_id=conversation.id,
        role="assistant",
        content=reply.content,
        model=settings.openai_model,
        openai_request_id=reply.request_id,
        tokens_in=reply.tokens_in,
        tokens_out=reply.tokens_out,
    )
    session.add(answered)
    await session.flush()

    for call in reply.tool_calls:
        session.add(
            ToolCall(message_id=answered.id, name=call.name, arguments=call.arguments, duration_ms=call.duration_ms)
        )
    for source in sources:
        session.add(Citation(message_id=answered.id, chunk_id=source.id, score=source.distance))
    conversation.last_message_at = datetime.now(UTC)
    await usage.record(session, conversation.organization_id, api_key_id, "chat", settings.openai_model, reply)
    return answered


async def tool_calls_of(session: AsyncSession, message_id: int) -> list[dict]:
    """The calls of an answer that really changed something."""
    rows = await session.execute(
        text("""
            SELECT id, name, arguments, duration_ms
            FROM tool_calls
            WHERE message_id = :message_id AND arguments ->> 'dry_run' = 'false'
            ORDER BY id
        """),
        {"message_id": message_id},
    )
    return [dict(row) for row in rows.mappings()]
