# The gateway as a service: two ports, one volume, no rights.
FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY gateway gateway
COPY codecs codecs
COPY pytest_telnyx_simulator pytest_telnyx_simulator
RUN python -m venv /opt/gateway && /opt/gateway/bin/pip install --no-cache-dir '.[fast]'

FROM python:3.13-slim
COPY --from=build /opt/gateway /opt/gateway
RUN useradd --system --uid 10001 --create-home gateway && install -d -o gateway -g gateway -m 0700 /data
USER gateway
WORKDIR /home/gateway
VOLUME /data
ENV PATH=/opt/gateway/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    GATEWAY_MEDIA_LISTEN=0.0.0.0:8765 \
    GATEWAY_HTTP_LISTEN=0.0.0.0:8080 \
    GATEWAY_DATA_DIR=/data \
    GATEWAY_TRANSPORT=picows
EXPOSE 8765 8080
# SIGTERM drains: give `docker stop --time` as long as calls may take.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/healthz', timeout=2)"]
ENTRYPOINT ["telnyx-gateway"]
CMD ["serve"]
