# The image of every process: docker run … api | worker | sandbox | migrate

FROM python:3.11-slim-bookworm AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /venv
COPY requirements.lock /tmp/
RUN /venv/bin/pip install --no-deps --require-hashes -r /tmp/requirements.lock

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/hourglass --shell /usr/sbin/nologin hourglass
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOURGLASS_HOST=0.0.0.0 \
    HOURGLASS_PORT=8000 \
    HOURGLASS_HOME=/var/lib/hourglass
COPY --from=builder /venv /venv
WORKDIR /srv/hourglass
COPY app app
COPY migrations migrations
USER hourglass
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
ENTRYPOINT ["python", "-m", "app"]
CMD ["api"]
