"""Calls that leave the process for another service than the database, told by the library."""

from __future__ import annotations

import re

from checks.evidence.repository.behaviour.outline import Call, Outline

_MODELS = (
    r"\.(?:chat\.completions|completions|embeddings|responses|images|moderations)\.(?:create|parse|generate|stream)$"
)
# By library: what the callee looks like, and what the file must name for it to be that library.
_PYTHON = (
    ("requests", r"^requests\.(?:get|post|put|patch|delete|head|request)$", "import requests"),
    ("httpx", r"^httpx\.(?:get|post|put|patch|delete|head|request|stream)$", "httpx"),
    ("httpx", r"^(?:self\.)?_?(?:http_?client|http|client|async_client)\.(?:get|post|put|patch|delete|request)$", "httpx"),
    ("aiohttp", r"(?:session|http)\.(?:get|post|put|patch|delete|request)$", "aiohttp.ClientSession"),
    ("litellm", r"(?:^|\.)a?(?:completion|embedding|rerank|image_generation)$", "litellm"),
    ("anthropic", r"\.messages\.(?:create|stream)$", "anthropic"),
    ("openai", _MODELS, ""),
    ("cohere", r"(?:^|\.)(?:co|cohere\w*)\.(?:embed|chat|rerank|generate)$", "cohere"),
    ("google-genai", r"\.generate_content(?:_async|_stream)?$|\.embed_content$", ""),
    ("langchain", r"(?:^|[._])(?:llm|chat_?model|chain|agent|model|embeddings?|retriever|runnable)\.(?:a?invoke|a?stream|"
     r"a?batch|a?embed_documents|a?embed_query|a?predict|a?generate)$", "langchain"),
    ("ollama", r"(?:^|\.)ollama\.(?:chat|generate|embed|embeddings)$", "ollama"),
    ("boto3", r"(?:^|[._])(?:s3|s3_client|sqs|sns|ses|bedrock\w*|lambda_client)\.(?!get_waiter|generate_presigned)\w+$",
     "boto"),
    ("stripe", r"^stripe\.(?:\w+\.)+(?:create|retrieve|modify|list|cancel|delete)(?:_async)?$", "stripe"),
    ("smtplib", r"\.(?:sendmail|send_message)$", "smtplib"),
    ("sendgrid", r"(?:sg|sendgrid\w*)\.send$", "sendgrid"),
)  # fmt: skip
_SCRIPT = (
    ("fetch", r"^(?:globalThis\.|window\.)?fetch$", ""),
    ("axios", r"^axios(?:\.(?:get|post|put|patch|delete|head|request))?$", "axios"),
    ("got", r"^got(?:\.\w+)?$", "got"),
    ("ky", r"^ky(?:\.\w+)?$", "ky"),
    ("ai", r"^(?:generateText|streamText|generateObject|streamObject|embed|embedMany)$", "ai"),
    ("openai", _MODELS, ""),
    ("anthropic", r"\.messages\.(?:create|stream)$", "anthropic"),
    ("stripe", r"(?:^|[._])stripe\w*(?:\(\))?\.(?:\w+\.)+(?:create|retrieve|update|list|cancel|del)$", "stripe"),
    ("aws-sdk", r"(?:s3|sqs|sns|ses|lambda|bedrock)\w*(?:\(\))?\.send$", "@aws-sdk/"),
    ("resend", r"resend\w*\.emails\.send$", "resend"),
    ("nodemailer", r"\.sendMail$", "nodemailer"),
    ("langchain", r"(?:^|[._])(?:llm|model|chatModel|chain|agent|embeddings?|retriever)\.(?:invoke|stream|batch|embedQuery"
     r"|embedDocuments)$", "langchain"),
    ("google-genai", r"\.generateContent(?:Stream)?$", ""),
)  # fmt: skip
_COMPILED = {
    True: tuple((library, re.compile(callee), word) for library, callee, word in _PYTHON),
    False: tuple((library, re.compile(callee, re.IGNORECASE), word) for library, callee, word in _SCRIPT),
}
# Words too short to tell anything but where they name a module.
_MODULES = frozenset(["ai", "got", "ky"])
# What a file of its own or a local function may shadow.
_REDEFINED = re.compile(r"(?:function\s+|(?:const|let|var)\s+|import\s+\{[^}]*\b)(fetch|embed|got|ky)\b")


_HINTS = re.compile(
    r"requests|httpx|aiohttp|litellm|anthropic|openai|OpenAI|cohere|generate_?[cC]ontent|embed_content|langchain|ollama|boto"
    r"|stripe|sendmail|send_message|sendgrid|\bfetch\(|axios|\bgot\b|\bky\b|[\"']ai[\"']|aws-sdk|resend|sendMail"
    r"|\.(?:completions|embeddings|responses|images|moderations)\."
)


def may_call(code: str) -> bool:
    """Whether the file may call another service, by a cheap look."""
    return _HINTS.search(code) is not None


def _imports(code: str, module: str) -> bool:
    return f'"{module}"' in code or f"'{module}'" in code


def external_calls(outline: Outline) -> list[tuple[Call, str]]:
    """The calls of other services in the file, with the library that makes each."""
    code = outline.source.file.text
    known = [
        (library, callee)
        for library, callee, word in _COMPILED[outline.is_python]
        if word in code and (word not in _MODULES or _imports(code, word))
    ]
    shadowed = set() if outline.is_python else {match.group(1) for match in _REDEFINED.finditer(code)}
    if "embed" in shadowed and re.search(r"from\s+[\"']ai[\"']", code):
        shadowed.discard("embed")
    found = []
    for call in outline.calls:
        if call.node.type == "new_expression" or call.callee in shadowed:
            continue
        library = next((library for library, callee in known if callee.search(call.callee)), None)
        if library is not None:
            found.append((call, library))
    return found
