from deskhand.auth import hash_key
from deskhand.services.llm import as_vector


def test_keys_are_kept_as_hashes():
    assert hash_key("secret") != "secret"
    assert len(hash_key("secret")) == 64


def test_vectors_are_written_as_pgvector_reads_them():
    assert as_vector([0.5, -1.0]) == "[0.500000,-1.000000]"
