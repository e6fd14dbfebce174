"""The service below a path: behind proxies that take the prefix away and such that leave it."""

import json
import re
from urllib.error import HTTPError
from urllib.parse import urljoin
from urllib.request import Request, urlopen

import pytest

from serve.web.access import own_prefix
from serve.web.app import create_app
from serve.web.config import ServiceConfig
from tests.serve.conftest import encoded, stripe
from tests.serve.mutations import multipart
from tests.serve.proxy import proxy

PREFIX = "/team/pictures"
FORWARDED = "X-Forwarded-Prefix"


@pytest.fixture
def asked(model):
    """Asks a service with the given settings, as from an address; the answer."""

    def ask(path: str, address: str = "127.0.0.1", headers=None, **settings):
        client = create_app(model, ServiceConfig(**settings)).test_client()
        return client.get(
            path, headers=headers, environ_base={"REMOTE_ADDR": address}, buffered=True
        )

    return ask


def server_of(response) -> str:
    return response.json["servers"][0]["url"]


def get(address: str) -> bytes:
    with urlopen(address, timeout=30) as response:
        return response.read()


def visit(address: str) -> None:
    """Follow what the page at an address names, and what the interface says of itself."""
    page = get(address).decode()
    base = re.search(r'<base href="([^"]*)">', page)
    base = urljoin(address, base[1]) if base else address
    found = re.findall(r'(?:href|src)="([^"]*)"', page)
    assert len(found) >= 5
    for one in found:
        get(urljoin(base, one))
    document = json.loads(get(urljoin(base, "openapi.json")))
    server = urljoin(urljoin(base, "openapi.json"), document["servers"][0]["url"])
    assert json.loads(get(f"{server.rstrip('/')}/api/model"))["classes"] == ["a", "b", "c"]
    body, kind = multipart(encoded(stripe(1)))
    request = Request(f"{server.rstrip('/')}/api/predict", body, {"Content-Type": kind})
    with urlopen(request, timeout=30) as response:
        assert json.loads(response.read())["predictions"][0]["top"][0]["class"] == "b"


@pytest.mark.slow
def test_it_works_behind_proxies(served, start, best) -> None:
    """Without a setting behind one that takes the prefix away; with it, behind any."""
    with proxy(served.address, PREFIX, strips=True) as address:
        visit(f"{address}/")
    told = start("--model", best, "--processes", 1, "--prefix", PREFIX)
    assert told.url.endswith(PREFIX)
    for strips in (True, False):
        with proxy(told.address, PREFIX, strips=strips) as address:
            visit(f"{address}/")
            visit(address)
    visit(f"{told.url}/")
    assert told.get("/healthz") == b'{"status":"ok"}'


@pytest.mark.slow
def test_a_trusted_proxy_names_the_prefix(start, best) -> None:
    told = start("--model", best, "--processes", 1, "--trusted-proxy", "127.0.0.0/8")
    with proxy(told.address, PREFIX, strips=True, adds={FORWARDED: PREFIX}) as address:
        visit(f"{address}/")
        visit(address)
    with pytest.raises(HTTPError, match="400"):
        urlopen(Request(told.url, headers={FORWARDED: "//evil.example"}), timeout=30)


def test_the_header_counts_from_trusted_proxies_only(asked) -> None:
    header = {FORWARDED: "/pictures"}
    ask = lambda address, **settings: server_of(  # noqa: E731
        asked("/openapi.json", address, header, **settings)
    )
    assert ask("127.0.0.1") == "."
    assert ask("10.1.2.3", prefix="/own") == "/own"
    trusted = {"trusted_proxies": ("10.0.0.0/8", "fd00::/8")}
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd00::1%eth0"):
        assert ask(address, **trusted) == "/pictures"
    for address in ("127.0.0.1", "11.1.2.3", "::1", "", "nonsense"):
        assert ask(address, **trusted) == "."


def test_of_several_prefixes_the_proxy_s_own_counts(asked) -> None:
    """What comes before it, the client may have sent."""
    trusted = {"trusted_proxies": ("127.0.0.1",)}
    for sent, kept in (("/evil, /pictures", "/pictures"), ("/pictures/", "/pictures"), ("/", ".")):
        assert server_of(asked("/openapi.json", headers={FORWARDED: sent}, **trusted)) == kept


@pytest.mark.parametrize(
    "sent", ["//evil.example", "http://evil", "/a b", '/a"><script>', "/../x", "/a//b", "/\u00e9"]
)
def test_what_is_no_prefix_is_refused(asked, sent) -> None:
    given = sent.encode().decode("latin-1")
    response = asked("/", headers={FORWARDED: given}, trusted_proxies=("127.0.0.1",))
    assert response.status_code == 400
    assert "a path prefix must be parts of letters" in response.json["message"]


def test_addresses_of_its_own_are_no_prefix(asked) -> None:
    """Else `/api/model` could mean two things."""
    with pytest.raises(ValueError, match="must not begin like an address of the service"):
        own_prefix("/api")
    forwarded = {FORWARDED: "/api"}
    response = asked("/api/model", headers=forwarded, trusted_proxies=("127.0.0.1",))
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/pictures", 200),
        ("/pictures//api/model", 200),
        ("/pictures/api//model", 404),
        ("/pictures/api/model/", 404),
        ("/pictures/static", 404),
        ("/picturesque", 404),
        ("/picturesque/api/model", 404),
    ],
)
def test_nothing_is_sent_on_to_another_address(asked, path, status) -> None:
    """Such an address would have a host name that only the proxy knows, or lack the prefix."""
    assert asked(path, prefix="/pictures").status_code == status
