"""The service does what its OpenAPI document says, whatever schemathesis sends."""

import pytest
from hypothesis import given, settings

from serve.web.app import create_app
from serve.web.config import ServiceConfig

pytestmark = pytest.mark.slow

schemathesis = pytest.importorskip("schemathesis")
checks = pytest.importorskip("schemathesis.specs.openapi.checks")

KEY = {"Authorization": "Bearer a-key-of-sixteen-letters"}
EXAMPLES = 30

# A schema has no word for "can be decoded": bytes that fit it may be refused.
BEYOND = [checks.positive_data_acceptance]


@pytest.fixture(scope="module")
def app(model, index):
    return create_app(model, ServiceConfig(api_key=KEY["Authorization"].split()[1]), index)


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda mode: mode.value)
def test_every_answer_is_as_documented(app, mode) -> None:
    """Status, content type and schema of every answer, to requests that fit and that do not."""
    tried = 0
    for found in schemathesis.openapi.from_wsgi("/openapi.json", app).get_all_operations():
        operation = found.ok()
        # What takes nothing cannot be asked wrongly, except with another method.
        if mode.is_negative and not (
            operation.body or operation.query or operation.path_parameters
        ):
            continue

        @settings(max_examples=EXAMPLES)
        @given(operation.as_strategy(generation_mode=mode))
        def answered(case) -> None:
            response = case.call(headers=KEY)
            assert response.status_code < 500
            case.validate_response(response, headers=KEY, excluded_checks=BEYOND)

        answered()
        tried += 1
    assert tried >= 3


def test_the_document_names_every_endpoint(app) -> None:
    document = app.test_client().get("/openapi.json").json
    rules = {rule.rule.replace("<int:picture>", "{picture}") for rule in app.url_map.iter_rules()}
    ours = rules - {"/", "/static/<path:filename>", "/openapi.json"}
    assert set(document["paths"]) == ours
    assert document["components"]["securitySchemes"]
