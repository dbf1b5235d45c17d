from fastapi import FastAPI

from deskhand.routes import admin, billing, conversations, documents, tickets, webhooks

app = FastAPI(title="Deskhand")

app.include_router(conversations.router)
app.include_router(documents.router)
app.include_router(tickets.router)
app.include_router(billing.router)
app.include_router(webhooks.router)
app.include_router(admin.router)


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
