# syntax=docker/dockerfile:1

# The image of iam-user-controller: the program, the certificates that it trusts, and a libc.
#
#   docker build --build-arg VERSION=1.0.0 --build-arg REVISION="$(git rev-parse HEAD)" -t iam-user-controller:1.0.0 .
#
# Both bases are arguments, so that a mirror, another release or a digest can be given. Builder and
# runtime must have the same Debian release: the program is linked with its libc.
ARG BUILD_IMAGE=rust:1.95.0-slim-bookworm
ARG RUNTIME_IMAGE=debian:bookworm-20260421-slim

FROM ${BUILD_IMAGE} AS build
WORKDIR /build
ENV CARGO_INCREMENTAL=0 \
    CARGO_TERM_COLOR=never

# Dependencies first: this layer stays as long as the two files do, and takes nearly all of the time.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src \
    && echo 'fn main() {}' > src/main.rs \
    && touch src/lib.rs \
    && cargo build --release --locked --bin iam-user-controller \
    && rm -r src

# Cargo goes by modification times, which a copy may make older than what was built above.
COPY src src
COPY config config
RUN find src config -type f -exec touch {} + \
    && cargo build --release --locked --bin iam-user-controller \
    && install -D -m 0755 target/release/iam-user-controller /image/usr/local/bin/iam-user-controller \
    && install -D -m 0644 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt

FROM ${RUNTIME_IMAGE}
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="iam-user-controller" \
      org.opencontainers.image.description="Makes the IAM users of an AWS account agree with a DynamoDB table, and keeps their access keys fresh." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

COPY --from=build /image/ /

# Nobody that a base image knows, and the one that the task definition names. Nothing is written: the
# root file system can be read-only.
USER 65532:65532
EXPOSE 8080
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["/usr/local/bin/iam-user-controller", "health"]
ENTRYPOINT ["/usr/local/bin/iam-user-controller"]
CMD ["run"]
