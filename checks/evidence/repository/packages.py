"""Packages whose presence among an application's dependencies says how it keeps its data, by kind of fact."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_MAXIMUM_LINE = 2_000

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
GO_MODULES = {
    "orm": {
        "gorm.io/gorm": "GORM", "github.com/go-gorm/gorm": "GORM", "entgo.io/ent": "ent",
        "github.com/uptrace/bun": "Bun",
        "github.com/jmoiron/sqlx": "sqlx", "github.com/jackc/pgx": "pgx", "github.com/go-pg/pg": "go-pg",
        "github.com/volatiletech/sqlboiler": "SQLBoiler", "xorm.io/xorm": "XORM", "github.com/stephenafamo/bob": "Bob",
    },
    "vector_client": {
        "github.com/qdrant/go-client": "Qdrant", "github.com/weaviate/weaviate-go-client": "Weaviate",
        "github.com/pinecone-io/go-pinecone": "Pinecone", "github.com/milvus-io/milvus-sdk-go": "Milvus",
    },
    "document_store": {
        "go.mongodb.org/mongo-driver": "MongoDB", "github.com/elastic/go-elasticsearch": "Elasticsearch",
        "github.com/opensearch-project/opensearch-go": "OpenSearch", "cloud.google.com/go/firestore": "Firestore",
    },
    "tracing": {
        "github.com/exaring/otelpgx": "OpenTelemetry", "github.com/XSAM/otelsql": "OpenTelemetry",
        "go.opentelemetry.io/contrib/instrumentation/database/sql": "OpenTelemetry",
        "gorm.io/plugin/opentelemetry": "OpenTelemetry",
        "github.com/DataDog/dd-trace-go": "Datadog", "gopkg.in/DataDog/dd-trace-go.v1": "Datadog",
        "github.com/newrelic/go-agent": "New Relic", "go.elastic.co/apm": "Elastic APM",
        "github.com/getsentry/sentry-go": "Sentry",
    },
    "migrations": {
        "github.com/golang-migrate/migrate": "golang-migrate", "github.com/pressly/goose": "goose",
        "ariga.io/atlas": "Atlas",
        "github.com/jackc/tern": "tern", "github.com/rubenv/sql-migrate": "sql-migrate",
    },
}  # fmt: skip
RUBY_GEMS = {
    "orm": {
        "rails": "ActiveRecord", "activerecord": "ActiveRecord", "sequel": "Sequel", "rom-sql": "ROM",
        "hanami-db": "ROM",
    },
    "vector_client": {
        "qdrant-ruby": "Qdrant", "weaviate-ruby": "Weaviate", "pinecone": "Pinecone", "milvus": "Milvus",
        "chroma-db": "Chroma",
    },
    "document_store": {
        "mongoid": "MongoDB", "mongo": "MongoDB", "elasticsearch": "Elasticsearch", "opensearch-ruby": "OpenSearch",
    },
    "tracing": {
        "opentelemetry-instrumentation-pg": "OpenTelemetry",
        "opentelemetry-instrumentation-active_record": "OpenTelemetry",
        "opentelemetry-instrumentation-all": "OpenTelemetry", "ddtrace": "Datadog", "datadog": "Datadog",
        "newrelic_rpm": "New Relic", "elastic-apm": "Elastic APM", "sentry-rails": "Sentry", "sentry-ruby": "Sentry",
    },
    "migrations": {
        "rails": "Rails migrations", "strong_migrations": "strong_migrations", "online_migrations": "online_migrations",
    },
}  # fmt: skip
RUST_CRATES = {
    "orm": {
        "diesel": "Diesel", "diesel-async": "Diesel", "sqlx": "sqlx", "sea-orm": "SeaORM",
        "tokio-postgres": "tokio-postgres",
        "cornucopia": "Cornucopia",
    },
    "vector_client": {
        "qdrant-client": "Qdrant", "lancedb": "LanceDB", "pinecone-sdk": "Pinecone", "weaviate-community": "Weaviate",
    },
    "document_store": {"mongodb": "MongoDB", "elasticsearch": "Elasticsearch", "opensearch": "OpenSearch"},
    "tracing": {"sqlx-tracing": "OpenTelemetry", "sentry": "Sentry", "newrelic": "New Relic"},
    "migrations": {"diesel-migrations": "Diesel", "refinery": "Refinery", "sea-orm-migration": "SeaORM"},
}  # fmt: skip
PHP_PACKAGES = {
    "orm": {
        "laravel/framework": "Eloquent", "illuminate/database": "Eloquent", "doctrine/orm": "Doctrine",
        "doctrine/dbal": "Doctrine",
        "cycle/orm": "Cycle",
    },
    "vector_client": {"hkulekci/qdrant": "Qdrant", "probots-io/pinecone-php": "Pinecone"},
    "document_store": {
        "mongodb/mongodb": "MongoDB", "mongodb/laravel-mongodb": "MongoDB",
        "elasticsearch/elasticsearch": "Elasticsearch",
        "opensearch-project/opensearch-php": "OpenSearch",
    },
    "tracing": {
        "open-telemetry/opentelemetry-auto-pdo": "OpenTelemetry",
        "open-telemetry/opentelemetry-auto-laravel": "OpenTelemetry",
        "datadog/dd-trace": "Datadog", "sentry/sentry-laravel": "Sentry", "sentry/sentry-symfony": "Sentry",
    },
    "migrations": {
        "laravel/framework": "Laravel migrations", "doctrine/migrations": "Doctrine",
        "doctrine/doctrine-migrations-bundle": "Doctrine",
        "robmorgan/phinx": "Phinx",
    },
}  # fmt: skip
DOTNET_PACKAGES = {
    "orm": {
        "npgsql.entityframeworkcore.postgresql": "Entity Framework",
        "microsoft.entityframeworkcore": "Entity Framework",
        "dapper": "Dapper", "nhibernate": "NHibernate", "linq2db": "LINQ to DB", "npgsql": "Npgsql", "marten": "Marten",
    },
    "vector_client": {
        "qdrant.client": "Qdrant", "pinecone.net": "Pinecone", "pinecone.client": "Pinecone", "milvus.client": "Milvus",
    },
    "document_store": {
        "mongodb.driver": "MongoDB", "elastic.clients.elasticsearch": "Elasticsearch", "nest": "Elasticsearch",
        "opensearch.client": "OpenSearch", "google.cloud.firestore": "Firestore",
    },
    "tracing": {
        "npgsql.opentelemetry": "OpenTelemetry", "opentelemetry.instrumentation.entityframeworkcore": "OpenTelemetry",
        "datadog.trace": "Datadog", "newrelic.agent.api": "New Relic", "elastic.apm.entityframeworkcore": "Elastic APM",
        "sentry.aspnetcore": "Sentry",
    },
    "migrations": {
        "fluentmigrator": "FluentMigrator", "dbup-postgresql": "DbUp", "evolve": "Evolve",
        "microsoft.entityframeworkcore.design": "Entity Framework",
    },
}  # fmt: skip
JVM_ARTIFACTS = {
    "orm": {
        "hibernate-core": "Hibernate", "spring-boot-starter-data-jpa": "Spring Data JPA",
        "spring-data-jpa": "Spring Data JPA",
        "spring-boot-starter-data-jdbc": "Spring Data JDBC", "spring-boot-starter-data-r2dbc": "Spring Data R2DBC",
        "mybatis": "MyBatis", "mybatis-spring-boot-starter": "MyBatis", "jooq": "jOOQ",
        "spring-boot-starter-jooq": "jOOQ",
        "jdbi3-core": "Jdbi", "exposed-core": "Exposed", "exposed-jdbc": "Exposed", "ebean": "Ebean",
        "quarkus-hibernate-orm-panache": "Hibernate", "quarkus-hibernate-orm": "Hibernate",
    },
    "vector_client": {
        "pinecone-client": "Pinecone", "milvus-sdk-java": "Milvus", "langchain4j-qdrant": "Qdrant",
        "langchain4j-pinecone": "Pinecone",
        "langchain4j-milvus": "Milvus", "langchain4j-weaviate": "Weaviate", "langchain4j-chroma": "Chroma",
    },
    "document_store": {
        "mongodb-driver-sync": "MongoDB", "spring-boot-starter-data-mongodb": "MongoDB",
        "elasticsearch-java": "Elasticsearch",
        "spring-boot-starter-data-elasticsearch": "Elasticsearch", "opensearch-java": "OpenSearch",
    },
    "tracing": {
        "opentelemetry-jdbc": "OpenTelemetry", "opentelemetry-spring-boot-starter": "OpenTelemetry",
        "datasource-micrometer-spring-boot": "Micrometer", "dd-trace-api": "Datadog", "newrelic-api": "New Relic",
        "apm-agent-attach": "Elastic APM", "sentry-spring-boot-starter-jakarta": "Sentry",
    },
    "migrations": {
        "flyway-core": "Flyway", "flyway-database-postgresql": "Flyway", "liquibase-core": "Liquibase",
        "quarkus-flyway": "Flyway",
        "quarkus-liquibase": "Liquibase",
    },
}  # fmt: skip

# The manifest, a line of it that names a dependency, and what it may name.
_JVM = re.compile(
    r"""<artifactId>\s*([\w.-]+)\s*</artifactId>|["'(][\w.-]+:([\w.-]+)(?::[^"'\s]*)?["']|\bname\s*[:=]\s*["']([\w.-]+)["']"""
)
_MANIFESTS = (
    (
        re.compile(r"(?:^|/)go\.mod$"),
        re.compile(r"^\s*(?:require\s+)?([\w.-]+\.[\w.-]+/\S+)\s+v\d(?!.*//\s*indirect)"),
        GO_MODULES,
    ),
    (
        re.compile(r"(?:^|/)(?:Gemfile|gems\.rb|[\w.-]+\.gemspec)$"),
        re.compile(r"""^\s*(?:gem|\w+\.add_(?:runtime_)?dependency)[\s(]+["']([\w.-]+)["']"""),
        RUBY_GEMS,
    ),
    (
        re.compile(r"(?:^|/)Cargo\.toml$"),
        re.compile(
            r"""^\s*(?:\[(?:workspace\.)?dependencies\.)?([\w-]+)(?:\]\s*$|(?:\.workspace)?\s*=\s*(?:["'{]|true))"""
        ),
        RUST_CRATES,
    ),
    (
        re.compile(r"(?:^|/)composer\.json$"),
        re.compile(r"""^\s*"([a-z0-9_.-]+/[a-z0-9_.-]+)"\s*:\s*"[^"]*[\d*@]"""),
        PHP_PACKAGES,
    ),
    (
        re.compile(r"(?:\.(?:cs|fs|vb)proj|(?:^|/)(?:Directory\.Packages\.props|packages\.config))$"),
        re.compile(
            r"""<(?:PackageReference|PackageVersion|package)\b[^>]*?\b(?:Include|id)\s*=\s*"([\w.-]+)\"""",
            re.IGNORECASE,
        ),
        DOTNET_PACKAGES,
    ),
    (
        re.compile(r"(?:^|/)(?:pom\.xml|[\w.-]*\.gradle(?:\.kts)?|libs\.versions\.toml|build\.sbt)$"),
        _JVM,
        JVM_ARTIFACTS,
    ),
)
_GO_VERSION = re.compile(r"/v\d+$")


def is_manifest(path: str) -> bool:
    """Whether the file lists what a Go, Ruby, Rust, PHP, .NET or JVM application depends on."""
    return any(pattern.search(path) for pattern, _, _ in _MANIFESTS)


def packages_of(path: str, code: str) -> Iterator[tuple[str, str, int]]:
    """Kind, name and line of each dependency in such a file that says how the application keeps its data."""
    line_of, packages = next((line, packages) for pattern, line, packages in _MANIFESTS if pattern.search(path))
    for number, line in enumerate(code.splitlines(), 1):
        stripped = line.lstrip()
        if len(line) > _MAXIMUM_LINE or stripped.startswith(("#", "//", "<!--")):
            continue
        for match in line_of.finditer(line):
            name = next(group for group in match.groups() if group)
            for kind, names in packages.items():
                if shown := _named(name, names):
                    yield kind, shown, number


def _named(name: str, names: Mapping[str, str]) -> str | None:
    for spelled in (name, name.lower(), name.replace("_", "-"), _GO_VERSION.sub("", name)):
        if spelled in names:
            return names[spelled]
    # A package of a Go module stands below it.
    return next(
        (shown for module, shown in names.items() if module.count("/") > 1 and name.startswith(f"{module}/")), None
    )
