"""The JSON interface: answers, refusals, limits, key, headers, figures."""

import io
import math
import threading

import numpy as np
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from werkzeug.exceptions import ServiceUnavailable

from serve.model import Model
from serve.web.app import create_app
from serve.web.config import ServiceConfig
from serve.web.openapi import ErrorReply
from serve.web.shared import Budget
from serve.web.uploads import Decoder
from tests.serve.conftest import encoded, stripe
from tests.serve.mutations import multipart

KEY = "a-key-of-sixteen-letters"


def form(*contents: bytes, name: str = "one.png", field: str = "image"):
    return {field: [(io.BytesIO(content), name) for content in contents]}


def post(client, *contents: bytes, path: str = "/api/predict", **options):
    return client.post(path, data=form(*contents), **options)


@pytest.fixture
def limited(model, index):
    def make(**limits):
        return create_app(model, ServiceConfig(**limits), index).test_client()

    return make


def test_one_picture_is_answered(client, model) -> None:
    response = post(client, encoded(stripe(1)))
    (said,) = response.json["predictions"]
    expected = model.predict(stripe(1)[None])[0].probabilities
    assert said["path"] == "one.png"
    assert said["top"][0]["class"] == "b"
    got = {one["class"]: one["probability"] for one in said["top"]}
    assert [got[name] for name in "abc"] == pytest.approx(expected, abs=1e-5)


def test_several_pictures_are_answered_in_order(client) -> None:
    contents = [encoded(stripe(n % 3, seed=n)) for n in range(7)]
    single = [post(client, one).json["predictions"][0]["top"] for one in contents]
    whole = post(client, *contents, path="/api/predict?top=3").json["predictions"]
    for one, alone in zip(whole, single, strict=True):
        assert [c["class"] for c in one["top"]] == [c["class"] for c in alone]
        assert one["top"][0]["probability"] == pytest.approx(alone[0]["probability"], abs=1e-5)


def test_top_says_how_many_classes(client) -> None:
    for top, count in ((1, 1), (2, 2), (50, 3)):
        said = post(client, encoded(stripe()), path=f"/api/predict?top={top}")
        assert len(said.json["predictions"][0]["top"]) == count


@pytest.mark.parametrize("top", ["0", "-1", "x", "", "1001", "9" * 5000, "\u0663"])
def test_top_must_be_a_number(client, top) -> None:
    response = client.post("/api/predict", query_string={"top": top}, data=form(b""))
    assert response.status_code == 400
    assert "top must be a number from 1 to 1000" in response.json["message"]


def test_other_parameters_are_refused(client) -> None:
    for query, words in (("tpo=3", "the parameters are top and explain, but got 'tpo'"),
                         ("top=3&top=4", "top must be a number")):  # fmt: skip
        response = post(client, encoded(stripe()), path=f"/api/predict?{query}")
        assert response.status_code == 400
        assert words in response.json["message"]


def test_similar_pictures_are_found_and_shown(client, collection) -> None:
    content = (collection / "c" / "005.png").read_bytes()
    near = post(client, content, path="/api/similar?count=3").json["neighbours"]
    assert near[0] == {
        "picture": near[0]["picture"], "path": "c/005.png", "class": "c",
        "similarity": pytest.approx(1),
    }  # fmt: skip
    assert len(near) == 3
    shown = client.get(f"/api/pictures/{near[0]['picture']}")
    assert shown.mimetype == "image/jpeg"
    with Image.open(io.BytesIO(shown.data)) as image:
        assert image.size == (16, 16)


def test_refusals_are_json_with_the_reason(client) -> None:
    picture = encoded(stripe())
    for response, status, error, words in [
        (client.post("/api/predict"), 415, "wrong_type", "content type is 'missing'"),
        (client.post("/api/predict", json={}), 415, "wrong_type", "'application/json'"),
        (client.post("/api/predict", data=form(picture, field="x")), 400, "bad_request",
         "at least one file in the field 'image'"),
        (client.post("/api/predict", data={"image": "text"},
                     content_type="multipart/form-data"), 400, "bad_request", "at least one"),
        (post(client, b""), 415, "wrong_type", "'one.png': not a JPEG, PNG or WebP picture"),
        (post(client, picture, b"x"), 415, "wrong_type", "not a JPEG"),
        (post(client, picture[:-30]), 422, "undecodable", "'one.png' cannot be decoded"),
        (post(client, *[picture] * 33), 413, "too_large", "may hold 32 pictures, but has 33"),
        (post(client, picture, picture, path="/api/similar"), 400, "bad_request", "got 2"),
        (client.get("/api/predict"), 405, "method_not_allowed", "not allowed"),
        (client.get("/nothing"), 404, "not_found", "not found"),
        (client.get("/api/pictures/30"), 404, "not_found", "there are 30 pictures"),
        (client.get("/static/../app.py"), 404, "not_found", "not found"),
    ]:  # fmt: skip
        assert (response.status_code, response.json["error"]) == (status, error)
        assert words in ErrorReply.model_validate(response.json).message


def test_names_of_files_may_have_any_encoding(client) -> None:
    """Old clients send Latin-1; the name comes back as text."""
    body, kind = multipart(encoded(stripe()), name="NAME")
    for name, text in (("caf\u00e9.jpg".encode("latin-1"), "caf\u00e9.jpg"),
                       ("caf\u00e9.jpg".encode(), "caf\u00e9.jpg"), (b"a\x80b.png", "a\x80b.png"),
                       (b"x" * 100_000, "x" * 100_000)):  # fmt: skip
        sent = body.replace(b"NAME", name)
        response = client.post("/api/predict", data=sent, content_type=kind)
        assert response.status_code == 200, response.text
        assert response.json["predictions"][0]["path"] == text


def test_a_broken_form_is_said_to_be_broken(client) -> None:
    body, kind = multipart(encoded(stripe()))
    for sent, form in ((body[:-30], kind), (body[:40], kind),
                       (body.replace(b"Content-Disposition", b"X"), kind),
                       (body, "multipart/form-data"),
                       (body, "multipart/form-data; boundary=x")):  # fmt: skip
        response = client.post("/api/predict", data=sent, content_type=form)
        assert response.status_code == 400
        assert "the form must be whole" in response.json["message"]


def test_limits_are_kept(limited) -> None:
    client = limited(most_pixels=1000, most_bytes=2048)
    assert post(client, encoded(stripe())).status_code == 200
    response = post(client, encoded(np.zeros((40, 40, 3), np.uint8)))
    assert response.status_code == 413
    assert "may have 1,000 pixels, but has 1,600" in response.json["message"]
    response = post(client, bytes(3000))
    assert (response.status_code, response.json["error"]) == (413, "too_large")


def test_a_collection_is_optional(model) -> None:
    client = create_app(model).test_client()
    assert client.get("/api/model").json["pictures"] is None
    response = post(client, encoded(stripe()), path="/api/similar")
    assert response.status_code == 404
    assert "start it with --index" in response.json["message"]
    assert client.get("/api/pictures/0").status_code == 404


def test_a_picture_of_the_collection_that_is_gone_is_said_to_be(best, tmp_path) -> None:
    from serve.index import Entry, Index

    model = Model(best)
    index = Index.new(tmp_path / "x", model.digest, str(tmp_path), model.features)
    index.put([Entry("gone.png", 1, 1, "a", np.ones(model.features, np.float32))])
    response = create_app(model, index=tmp_path / "x").test_client().get("/api/pictures/0")
    assert response.status_code == 404
    assert "cannot be read: No such file" in response.json["message"]


def test_the_model_says_what_it_is(client, model) -> None:
    said = client.get("/api/model").json
    assert said["classes"] == ["a", "b", "c"]
    assert said["digest"] == model.digest
    assert said["test"]["n"] == 15
    assert said["pictures"] == 30


def test_unsure_is_what_lies_below_the_threshold(limited) -> None:
    for below, unsure in ((0.0, False), (1.0, True)):
        client = limited(unsure_below=below, unsure_beyond=2)
        said = post(client, encoded(stripe())).json["predictions"][0]
        assert said["unsure"] is unsure
        assert said["unsure_by"] == ["probability"] * unsure
        assert (
            client.get("/api/model").json["unsure_because"]
            == "It was set by whoever runs this service."
        )


def test_a_key_is_asked_for(limited) -> None:
    client = limited(api_key=KEY)
    for path in ("/", "/static/page.js", "/healthz", "/readyz", "/openapi.json"):
        assert client.get(path, buffered=True).status_code == 200
    for path in ("/api/model", "/metrics", "/api/pictures/0"):
        for given in (None, "Bearer wrong", f"Basic {KEY}", f"Bearer {KEY}x", "Bearer \xff"):
            headers = {} if given is None else {"Authorization": given}
            response = client.get(path, headers=headers)
            assert (response.status_code, response.json["error"]) == (401, "no_key")
            assert response.headers["WWW-Authenticate"] == "Bearer"
        assert client.get(path, headers={"Authorization": f"bearer {KEY}"}).status_code == 200
    assert post(client, encoded(stripe())).status_code == 401
    assert client.get("/nothing").status_code == 401


def test_only_pages_of_its_own_may_ask(limited) -> None:
    client = limited(hosts=("127.0.0.1", "localhost"))
    for host, status in (("localhost:8000", 200), ("127.0.0.1", 200), ("evil.example", 400)):
        assert client.get("/api/model", headers={"Host": host}).status_code == status
    for site in ("cross-site", "same-site"):
        response = post(client, encoded(stripe()), headers={"Sec-Fetch-Site": site})
        assert (response.status_code, response.json["error"]) == (403, "foreign")
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert client.get("/", headers=link, buffered=True).status_code == 200
    assert (
        client.get("/", headers={"Sec-Fetch-Site": "same-origin"}, buffered=True).status_code
        == 200
    )


def test_every_answer_has_the_headers(client) -> None:
    for response in (client.get("/", buffered=True), client.get("/nothing"), post(client, b"")):
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["X-Request-ID"]
    assert client.get("/api/model").headers["Cache-Control"] == "no-store"


def test_the_page_has_nothing_inline_and_nothing_from_elsewhere(client) -> None:
    text = client.get("/", buffered=True).text + client.get("/static/page.js", buffered=True).text
    text += client.get("/static/page.css", buffered=True).text
    for word in ("http://", "https://", " style=", "onclick", "innerHTML", "<style", "eval("):
        assert word not in text
    assert client.get("/", buffered=True).text.count("<script") == 1


def test_requests_are_counted(model) -> None:
    client = create_app(model).test_client()
    post(client, encoded(stripe()), encoded(stripe(1)))
    post(client, b"no")
    response = client.get("/metrics")
    found = {
        (sample.name, sample.labels.get("endpoint"), sample.labels.get("status")): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }
    assert found["convsearch_images_total", None, None] == 2
    assert found["convsearch_batch_images_sum", None, None] == 2
    assert found["convsearch_requests_total", "api.predict", "200"] == 1
    assert found["convsearch_requests_total", "api.predict", "415"] == 1
    assert found["convsearch_request_seconds_count", "api.predict", None] == 2


def test_a_fault_of_ours_is_told_without_its_inside(best, monkeypatch, caplog) -> None:
    app = create_app(best)
    monkeypatch.setattr(Model, "predict", lambda self, images, explained: 1 / 0)
    response = post(app.test_client(), encoded(stripe()))
    assert (response.status_code, response.json["error"]) == (500, "bug")
    assert "Zero" not in response.text
    assert "ZeroDivisionError" in caplog.text


def test_a_queue_that_is_too_long_is_shortened_at_once(model) -> None:
    app = create_app(model)
    client, service = app.test_client(), app.extensions["convsearch"]
    service.queue = range(64)
    assert post(client, encoded(stripe())).status_code == 200
    service.queue = range(65)
    response = post(client, encoded(stripe()))
    assert (response.status_code, response.json["error"]) == (503, "busy")
    assert response.headers["Retry-After"] == "1"
    assert client.get("/healthz").status_code == 200


def test_large_pictures_wait_for_each_other_and_a_few_at_most(model, monkeypatch) -> None:
    """Four wait for the one that is decoded; the next is sent away; small ones go on."""
    monkeypatch.setattr("serve.web.uploads._LARGE", 1000)
    app = create_app(model, ServiceConfig(seconds=30))
    decoder = app.extensions["convsearch"].decoder
    large = encoded(np.zeros((40, 40, 3), np.uint8))
    statuses: list[int] = []

    def ask() -> None:
        statuses.append(post(app.test_client(), large).status_code)

    with decoder._one_large:
        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        while len(statuses) < 2:
            pass
        assert statuses == [503, 503]
        assert post(app.test_client(), encoded(stripe())).status_code == 200
        response = post(app.test_client(), large)
        assert response.headers["Retry-After"] == "1"
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] * 4 + [503] * 2


class Full(Budget):
    """Nothing more may be held, and it is kept how long somebody would have waited."""

    asked = math.nan

    def wait(self, amount: int, most: int, seconds: float) -> bool:
        self.asked = seconds
        return False


def test_a_large_picture_waits_once(monkeypatch) -> None:
    """What it has waited for those of its process, it does not wait again for the others."""
    monkeypatch.setattr("serve.web.uploads._LARGE", 1000)
    pixels = Full(1)
    decoder = Decoder(16, ServiceConfig(seconds=30), pixels)
    decoder._one_large.acquire()
    threading.Timer(0.2, decoder._one_large.release).start()
    with pytest.raises(ServiceUnavailable, match="took too long"), decoder.turn(1600):
        pass
    assert pixels.asked < 29.9
