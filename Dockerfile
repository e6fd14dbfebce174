# Two images: `--target serve` (the last one, so the default) answers requests, `--target search` trains.
# docs/containers.md says how they are used and how this file is checked.

FROM docker.io/library/python:3.11-slim-bookworm AS base
# The file system is read-only, so /tmp is the home of caches that libraries want to write; the name is for
# whoever runs it under another number, which has no name of its own.
ENV HOME=/tmp \
    LOGNAME=convsearch \
    PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1
RUN groupadd --gid 10001 convsearch \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin convsearch \
    && mkdir -p /work/runs /work/data \
    && chown -R 10001:10001 /work


FROM base AS serve-packages
COPY constraints.txt serve/requirements.txt /build/
RUN python3 -m venv /opt/venv \
    && pip install --no-cache-dir --constraint /build/constraints.txt --requirement /build/requirements.txt \
    && pip uninstall --yes pip setuptools


FROM base AS search-packages
COPY constraints.txt pyproject.toml /build/
WORKDIR /build
# The dependencies alone, so that a change of code does not fetch torch again.
RUN python3 -m venv /opt/venv \
    && python3 -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; print(*project['dependencies'], *project['optional-dependencies']['postgresql'], sep='\n')" > requirements.txt \
    && pip install --no-cache-dir --constraint constraints.txt --requirement requirements.txt \
    && pip uninstall --yes pip


FROM base AS search
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=search-packages /opt/venv /opt/venv
COPY LICENSE /app/
COPY records /app/records
COPY reports /app/reports
COPY search /app/search
COPY serve /app/serve
COPY space /app/space
COPY studies /app/studies
COPY train_core /app/train_core
WORKDIR /work
USER 10001:10001
VOLUME ["/work/runs", "/work/data"]
ENTRYPOINT ["python", "-m", "search.run"]
CMD ["--help"]


FROM base AS serve
COPY --from=serve-packages /opt/venv /opt/venv
COPY LICENSE /app/
COPY records /app/records
COPY serve /app/serve
WORKDIR /work
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
ENTRYPOINT ["python", "-m", "serve.run", "--host", "0.0.0.0"]
CMD ["--model", "/model"]
