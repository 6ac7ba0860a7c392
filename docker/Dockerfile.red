# A RED experiment's image as the field builds them: python3 for the engine's agent, the user cc, the
# connectors on the PATH, and the experiment. From the root of the source tree, after the target
# `bundle` of docker/Dockerfile:
#   docker build -f docker/Dockerfile.red -t red-experiment .
# The base can be any image, since the connectors bring all that they need but fusermount3.
ARG BASE=debian:bookworm
ARG CONNECTORS=red-connectors-bundle

FROM ${CONNECTORS} AS connectors

FROM ${BASE}
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates fuse3 python3 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
 && useradd --create-home --shell /bin/bash cc
COPY --from=connectors / /opt/red-connectors
ENV PATH=/opt/red-connectors/bin:/home/cc/bin:${PATH}
USER cc
WORKDIR /home/cc
COPY --chown=cc:cc docker/experiment/ bin/
