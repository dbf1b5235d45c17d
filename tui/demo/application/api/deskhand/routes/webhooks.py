from typing import Any

import stripe
from fastapi import APIRouter, HTTPException, Request
from sqlalchemy import text

from deskhand.config import get_settings
from deskhand.db import Session

router = APIRouter(prefix="/webhooks", tags=["webhooks"])
settings = get_settings()


@router.post("/openai")
async def openai_batch_finished(request: Request, session: Session) -> dict[str, Any]:
    """OpenAI tells how many tokens an answer of a batch really took."""
    event = await request.json()
    row = (
        await session.execute(
            text("""
                SELECT id, conversation_id, tokens_in, tokens_out
                FROM messages
                WHERE openai_request_id = :request_id
            """),
            {"request_id": event["data"]["id"]},
        )
    ).first()
    if row is None:
        raise HTTPException(404)
    await session.execute(
        text("UPDATE messages SET tokens_in = :tokens_in, tokens_out = :tokens_out WHERE id = :id"),
        {
            "id": row.id,
            "tokens_in": event["data"]["usage"]["prompt_tokens"],
            "tokens_out": event["data"]["usage"]["completion_tokens"],
        },
    )
    return {"message_id": row.id}


@router.post("/stripe")
async def stripe_event(request: Request, session: Session) -> dict[str, bool]:
    try:
        event = stripe.Webhook.construct_event(
            await request.body(), request.headers.get("stripe-signature", ""), settings.stripe_webhook_secret
        )
    except (ValueError, stripe.SignatureVerificationError) as error:
        raise HTTPException(400) from error
    if event["type"] == "invoice.paid":
        await session.execute(
            text("UPDATE billing.invoices SET status = 'paid' WHERE stripe_invoice_id = :stripe_invoice_id"),
            {"stripe_invoice_id": event["data"]["object"]["id"]},
        )
    return {"received": True}
