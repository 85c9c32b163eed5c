# syntax=docker/dockerfile:1
# The one binary, with the Playground's page beside it. No HEALTHCHECK: the same image is API, worker and
# one-shot commands, so whoever starts it says what is healthy (see docker-compose.yml).

FROM node:22-bookworm-slim AS playground
WORKDIR /playground
COPY playground/package.json playground/package-lock.json playground/.npmrc ./
RUN --mount=type=cache,target=/root/.npm npm ci --no-audit --no-fund
COPY playground/ ./
RUN npm run build

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
# The cache is not part of the image, so the binary is taken out of it in the same step.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --package fowergram --bin fowergram \
    && install -D target/release/fowergram /out/fowergram

FROM debian:bookworm-slim
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin fowergram
WORKDIR /app
COPY --from=playground /playground/dist playground/dist
COPY --from=build /out/fowergram /usr/local/bin/fowergram
USER 10001:10001
ENV HOST=0.0.0.0
EXPOSE 8000 8001
ENTRYPOINT ["fowergram"]
CMD ["serve"]
