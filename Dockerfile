# syntax=docker/dockerfile:1

FROM python:3.11-slim AS build
WORKDIR /build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1

# What changes seldom comes first, so that its layer is kept.
COPY requirements.lock requirements-build.lock ./
RUN python -m venv /opt/tokenkeep \
    && /opt/tokenkeep/bin/pip install --require-hashes --requirement requirements.lock \
    && python -m pip install --require-hashes --requirement requirements-build.lock

COPY pyproject.toml README.md LICENSE ./
COPY src src
COPY providers providers
COPY templates templates
RUN python -m pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && /opt/tokenkeep/bin/pip install --no-deps --no-index dist/*.whl \
    && /opt/tokenkeep/bin/pip uninstall --yes setuptools pip


FROM python:3.11-slim
# The root key and the data lie apart, so that one volume or backup never holds both.
RUN useradd --system --uid 10001 --user-group --home-dir /var/lib/tokenkeep --shell /usr/sbin/nologin tokenkeep \
    && install -d -m 0700 -o tokenkeep -g tokenkeep /var/lib/tokenkeep /etc/tokenkeep /etc/tokenkeep/keys
COPY --from=build /opt/tokenkeep /opt/tokenkeep

ENV PATH=/opt/tokenkeep/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/var/lib/tokenkeep \
    XDG_DATA_HOME=/var/lib \
    XDG_CONFIG_HOME=/etc \
    TOKENKEEP_HOST=0.0.0.0 \
    TOKENKEEP_LOG_FORMAT=json

USER 10001:10001
WORKDIR /var/lib/tokenkeep
VOLUME ["/var/lib/tokenkeep", "/etc/tokenkeep/keys"]
EXPOSE 8420
STOPSIGNAL SIGTERM

HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + (os.environ.get('TOKENKEEP_PORT') or '8420') + '/healthz', timeout=4)"]

# The shell sets the mask and is gone: the service itself is process 1 and gets the signals.
ENTRYPOINT ["/bin/sh", "-c", "umask 077 && exec tokenkeep \"$@\"", "tokenkeep"]
CMD ["serve"]
