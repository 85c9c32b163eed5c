#!/bin/sh
# The start of a streaming replica: the first time it copies its primary, later it goes on from there.
# A replica that was away for longer than the primary keeps its log is made anew: remove its volume.
set -eu

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    # What a copy that was cut off has left.
    find "$PGDATA" -mindepth 1 -delete
    pg_basebackup --dbname="$PRIMARY_URL" --pgdata="$PGDATA" --write-recovery-conf --wal-method=stream --checkpoint=fast
    chmod 700 "$PGDATA"
fi
exec docker-entrypoint.sh "$@"
