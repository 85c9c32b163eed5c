# NATS with the configuration of docker-compose.yml, for platforms that mount no files.
FROM nats:2.11-alpine
COPY docker/nats.conf /etc/nats/fowergram.conf
CMD ["--config", "/etc/nats/fowergram.conf"]
