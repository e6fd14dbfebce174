"""`python -m serve.run --model runs/x/best`: the web service."""

import ipaddress
import logging
import os
import socket
import sys
import time
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from records.command_line import new_app, run_app, user_mistakes, warn
from records.machine import cores

if TYPE_CHECKING:
    from flask import Flask

    from serve.web.config import ServiceConfig
    from serve.web.shared import Shared

app = new_app()

# Where the API key is read from; never an argument, which everybody on the machine can see.
KEY = "CONVSEARCH_API_KEY"
_LOCAL = ("127.0.0.1", "localhost", "::1")

# What getaddrinfo says: family, type, protocol, name, address.
_Place = tuple[int, int, int, str, tuple[Any, ...]]

# Not from `serve.predict`, which imports NumPy before `_prepare` has run.
_Model = Annotated[Path | None, typer.Option(help="exported folder [the only one in runs/*/best]")]
_Processes = Annotated[
    int | None, typer.Option(min=1, help="processes that answer [one per core]")
]
_Key = Annotated[
    Path | None, typer.Option(help=f"file with the key that clients must send [${KEY}, or none]")
]
_Unsure = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="probability below which to warn [as held-out pictures say]"),
]
_Hosts = Annotated[
    list[str] | None,
    typer.Option(
        "--allowed-host",
        help="name that a proxy may send as Host, besides this machine's; repeatable",
    ),
]
_Prefix = Annotated[
    str, typer.Option(help="path below which a proxy shows the service, say /pictures")
]
_Proxies = Annotated[
    list[str] | None,
    typer.Option(
        "--trusted-proxy", help="address or network whose X-Forwarded-Prefix counts; repeatable"
    ),
]
_Beyond = Annotated[
    float | None,
    typer.Option(
        min=0, help="distance beyond which to warn; 2 = never [as held-out pictures say]"
    ),
]
_Index = Annotated[
    Path | None, typer.Option(help="what `python -m serve.index` made, for similar pictures")
]
_Wait = Annotated[bool, typer.Option("--wait", help="wait for a model that is not there yet")]


@app.command()
def main(  # noqa: PLR0913 - one argument per flag
    model: _Model = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 = any that is free")] = 8000,
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    index: _Index = None,
    api_key_file: _Key = None,
    unsure_below: _Unsure = None,
    unsure_beyond: _Beyond = None,
    processes: _Processes = None,
    allowed_host: _Hosts = None,
    prefix: _Prefix = "",
    trusted_proxy: _Proxies = None,
    wait: _Wait = False,
) -> int:
    """Serve a page and a JSON interface for one model."""
    _prepare()
    from serve.model import find_model

    host = host.strip("[]")
    with user_mistakes():
        place = _place(host, port)
        hosts = _hosts(host, place, allowed_host or [])
        config = _config(
            api_key_file, hosts, prefix, trusted_proxy or [], unsure_below, unsure_beyond
        )
        folder = find_model(model)
        if wait:
            _wait_for(folder)
        _check(folder, index)
        listening = _listen(host, place)

    with listening:
        make_app = partial(_make_app, folder, config, index)
        announce = partial(_announce, folder, host, config.prefix, listening)
        if hasattr(os, "fork"):
            from serve.web.prefork import run_processes

            return run_processes(make_app, listening, processes or cores(), announce)
        from serve.web.server import run_alone

        return run_alone(make_app, listening, announce)


def _config(
    key_file: Path | None,
    hosts: tuple[str, ...] | None,
    prefix: str,
    proxies: list[str],
    unsure_below: float | None,
    unsure_beyond: float | None,
) -> "ServiceConfig":
    from serve.web.access import own_prefix
    from serve.web.config import ServiceConfig

    return ServiceConfig(
        api_key=_api_key(key_file),
        hosts=hosts,
        prefix=own_prefix(prefix),
        trusted_proxies=tuple(map(_network, proxies)),
        unsure_below=unsure_below,
        unsure_beyond=unsure_beyond,
    )


def _make_app(
    folder: Path, config: "ServiceConfig", index: Path | None, shared: "Shared"
) -> "Flask":
    # Only in a process that answers: it decides how to count when it is imported.
    from serve.web.app import create_app

    return create_app(folder, config, index, shared)


def _announce(folder: Path, host: str, prefix: str, listening: socket.socket) -> None:
    """Said once, whatever the number of processes."""
    from serve.answer import NO_DISTANCE
    from serve.familiar import FILE

    if not (folder / FILE).exists():
        warn(NO_DISTANCE)
    name = f"[{host}]" if ":" in host else host
    address = f"http://{name}:{listening.getsockname()[1]}{prefix}/"
    print(f"serving {folder} on {address} (Ctrl-C ends it)", flush=True)


def _check(folder: Path, index: Path | None) -> None:
    """Whether the files are what they should be, as far as that can be seen without loading."""
    from serve.index import Index
    from serve.model import metrics_of

    metrics_of(folder)
    if index is not None:
        Index(index)


def _wait_for(folder: Path) -> None:
    """Until a search has exported; all files of an export appear at once."""
    exported = (folder / "metrics.json").is_file
    if not exported():
        print(f"waiting for a model in {folder}", flush=True)
    while not exported():
        time.sleep(1)


def _place(host: str, port: int) -> _Place:
    """Where to listen."""
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise ValueError(f"--host must be an address or a name, but '{host}': {error}") from None


def _hosts(host: str, place: _Place, allowed: list[str]) -> tuple[str, ...] | None:
    """Names under which the service answers: any, if other machines can reach it."""
    address = ipaddress.ip_address(str(place[4][0]).partition("%")[0])
    if not address.is_loopback and not allowed:
        return None
    names = (*_LOCAL, host, str(address), *(name.strip("[]") for name in allowed))
    return tuple(dict.fromkeys(name.lower() for name in names))


def _network(text: str) -> "ipaddress.IPv4Network | ipaddress.IPv6Network":
    try:
        return ipaddress.ip_network(text.strip("[]"), strict=False)
    except ValueError:
        raise ValueError(
            f"--trusted-proxy must be an address or a network like 10.0.0.0/8, but got '{text}'"
        ) from None


def _listen(host: str, place: _Place) -> socket.socket:
    try:
        return socket.create_server(place[4], family=place[0], backlog=1024)
    except OSError as error:
        raise ValueError(
            f"the service needs a free address, but {host} port {place[4][1]}: "
            f"{os.strerror(error.errno or 0)}; choose another one with --port or --host"
        ) from None


def _api_key(file: Path | None) -> str | None:
    from serve.web.config import SHORTEST_KEY

    try:
        key = os.environ.get(KEY, "") if file is None else file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ValueError(
            f"--api-key-file must be a readable file, but '{file}': {error.strerror}"
        ) from None
    if (file is not None or key) and len(key) < SHORTEST_KEY:
        raise ValueError(
            f"an API key must have at least {SHORTEST_KEY} characters, but this one has {len(key)}"
        )
    return key or None


def _prepare() -> None:
    """Logging, and what must be said before NumPy and Pillow are used."""
    # Each process computes on one core, and there must be no threads yet when it is forked.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    # It names the path of everybody who leaves early, and speaks up when requests wait, which is
    # what its queue is for.
    logging.getLogger("waitress").setLevel(logging.WARNING)
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    # A picture just below Pillow's limit is refused by ours, in words.
    from PIL import Image

    warnings.simplefilter("ignore", Image.DecompressionBombWarning)


if __name__ == "__main__":
    raise SystemExit(run_app(app))
