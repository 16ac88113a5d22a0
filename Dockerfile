# Kenger in a container: one image for members, gateways and the tools.
#
# Both base images can be replaced, and no stage needs BuildKit. The build needs a C linker and cargo;
# the program needs a C library and nothing else.
ARG BUILD_IMAGE=rust:1.95-bookworm
ARG RUNTIME_IMAGE=debian:bookworm-slim

FROM ${BUILD_IMAGE} AS build
# A cargo profile: `dev` builds faster, for tests.
ARG PROFILE=release
WORKDIR /src
COPY . .
# Installing rather than building puts the programs into one place for every profile.
RUN cargo install --locked --path . --root /out --profile "${PROFILE}" --no-track

FROM ${RUNTIME_IMAGE}
# A fixed number, so that the owner of a volume is the same in every version.
RUN groupadd --system --gid 10001 kenger \
    && useradd --system --uid 10001 --gid kenger --home-dir /var/lib/kenger --shell /usr/sbin/nologin kenger \
    && install --directory --owner=kenger --group=kenger --mode=0700 /var/lib/kenger
COPY --from=build /out/bin/kenger /out/bin/kengerctl /usr/local/bin/
USER 10001:10001
WORKDIR /var/lib/kenger
VOLUME /var/lib/kenger
# Inside a container the address of the network is not known before it runs; outside, nothing is
# reachable that is not published.
ENV KENGER_LISTEN_API=0.0.0.0:5000 \
    KENGER_LISTEN_PEER=0.0.0.0:5001 \
    KENGER_DATA_DIR=/var/lib/kenger
# API, peers, gateway, gateway admin.
EXPOSE 5000 5001 18080 8081
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 \
    CMD ["kenger", "healthcheck", "--url", "http://127.0.0.1:5000/readyz"]
ENTRYPOINT ["kenger"]
CMD ["serve"]
