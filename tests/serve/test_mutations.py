"""Damaged and hostile uploads get a clear refusal, and the service goes on.

`python -m benchmarks.serve_uploads` sends 2,000 of them to a real service while others use it.
"""

import pytest

from serve.web.app import create_app
from serve.web.config import ServiceConfig
from serve.web.openapi import ErrorReply
from tests.serve.conftest import encoded, stripe
from tests.serve.mutations import mutated

FIELDS = {"path", "class", "probability", "top", "unsure", "unsure_by", "distance"}


@pytest.fixture(scope="module")
def small(model):
    return create_app(model, ServiceConfig(most_bytes=1 << 19)).test_client()


def test_every_upload_is_answered_or_refused_in_words(small) -> None:
    statuses = {}
    for what, body, content_type in mutated(270):
        response = small.post("/api/predict", data=body, content_type=content_type)
        statuses.setdefault(what, set()).add(response.status_code)
        if response.status_code == 200:
            assert response.json["predictions"][0].keys() == FIELDS
        else:
            assert response.status_code in (400, 413, 415, 422), (what, response.text)
            assert len(ErrorReply.model_validate(response.json).message) > 10
    assert set(statuses) == {
        "truncated", "flipped", "spliced", "renamed", "oversized", "bomb", "polyglot", "body",
        "garbage",
    }  # fmt: skip
    assert 200 in statuses["polyglot"]
    assert 200 not in statuses["garbage"] | statuses["bomb"]
    assert 413 in statuses["oversized"] & statuses["bomb"]
    alive = small.post("/api/predict", data=dict(image=(open_picture(), "one.png")))
    assert alive.status_code == 200


def open_picture():
    import io

    return io.BytesIO(encoded(stripe()))
