"""Packages whose presence among an application's dependencies says how it keeps its data, by kind of fact."""

from __future__ import annotations

PYTHON_PACKAGES = {
    "orm": {
        "sqlalchemy": "SQLAlchemy", "sqlmodel": "SQLModel", "django": "Django", "peewee": "Peewee",
        "tortoise-orm": "Tortoise ORM", "prisma": "Prisma", "pony": "Pony", "piccolo": "Piccolo", "supabase": "supabase-py",
    },
    "vector_client": {
        "pinecone": "Pinecone", "pinecone-client": "Pinecone", "langchain-pinecone": "Pinecone",
        "qdrant-client": "Qdrant", "langchain-qdrant": "Qdrant", "weaviate-client": "Weaviate",
        "chromadb": "Chroma", "chromadb-client": "Chroma", "langchain-chroma": "Chroma",
        "pymilvus": "Milvus", "lancedb": "LanceDB", "turbopuffer": "turbopuffer", "faiss-cpu": "FAISS", "faiss-gpu": "FAISS",
    },
    "document_store": {
        "pymongo": "MongoDB", "motor": "MongoDB", "beanie": "MongoDB", "mongoengine": "MongoDB",
        "elasticsearch": "Elasticsearch", "opensearch-py": "OpenSearch", "couchdb": "CouchDB",
        "google-cloud-firestore": "Firestore",
    },
    "tracing": {
        "opentelemetry-instrumentation-psycopg": "OpenTelemetry", "opentelemetry-instrumentation-psycopg2": "OpenTelemetry",
        "opentelemetry-instrumentation-asyncpg": "OpenTelemetry", "opentelemetry-instrumentation-sqlalchemy": "OpenTelemetry",
        "opentelemetry-instrumentation-django": "OpenTelemetry", "ddtrace": "Datadog", "newrelic": "New Relic",
        "elastic-apm": "Elastic APM", "sentry-sdk": "Sentry", "logfire": "Logfire",
    },
    "migrations": {
        "alembic": "Alembic", "django": "Django", "yoyo-migrations": "yoyo", "aerich": "Aerich", "prisma": "Prisma Migrate",
    },
}  # fmt: skip
NODE_PACKAGES = {
    "orm": {
        "prisma": "Prisma", "@prisma/client": "Prisma", "drizzle-orm": "Drizzle", "typeorm": "TypeORM",
        "sequelize": "Sequelize", "knex": "Knex", "kysely": "Kysely", "@mikro-orm/core": "MikroORM",
        "objection": "Objection", "@supabase/supabase-js": "supabase-js",
    },
    "vector_client": {
        "@pinecone-database/pinecone": "Pinecone", "@qdrant/js-client-rest": "Qdrant", "weaviate-client": "Weaviate",
        "weaviate-ts-client": "Weaviate", "chromadb": "Chroma", "@zilliz/milvus2-sdk-node": "Milvus",
        "@lancedb/lancedb": "LanceDB", "vectordb": "LanceDB", "@turbopuffer/turbopuffer": "turbopuffer",
    },
    "document_store": {
        "mongodb": "MongoDB", "mongoose": "MongoDB", "@elastic/elasticsearch": "Elasticsearch",
        "@opensearch-project/opensearch": "OpenSearch", "nano": "CouchDB", "@google-cloud/firestore": "Firestore",
    },
    "tracing": {
        "@opentelemetry/instrumentation-pg": "OpenTelemetry", "@prisma/instrumentation": "OpenTelemetry",
        "@opentelemetry/auto-instrumentations-node": "OpenTelemetry", "dd-trace": "Datadog", "newrelic": "New Relic",
        "@sentry/node": "Sentry", "@sentry/nextjs": "Sentry", "elastic-apm-node": "Elastic APM", "@vercel/otel": "OpenTelemetry",
    },
    "migrations": {
        "drizzle-kit": "Drizzle Kit", "prisma": "Prisma Migrate", "node-pg-migrate": "node-pg-migrate",
        "postgres-migrations": "postgres-migrations", "dbmate": "dbmate", "graphile-migrate": "Graphile Migrate",
        "db-migrate": "db-migrate", "umzug": "Umzug", "sequelize-cli": "Sequelize", "supabase": "Supabase CLI",
    },
}  # fmt: skip
