#!/bin/sh
# The start of a streaming replica: the first time it copies its primary, later it goes on from there.
# A replica that was away for longer than the primary keeps its log is made anew: remove its volume.
set -eu

# A file of its own, because a copy that was cut off has all others, and a promoted replica no standby.signal.
whole=$PGDATA/copied
if [ ! -e "$whole" ]; then
    find "$PGDATA" -mindepth 1 -delete
    pg_basebackup --dbname="$PRIMARY_URL" --pgdata="$PGDATA" --write-recovery-conf --wal-method=stream --checkpoint=fast
    chmod 700 "$PGDATA"
    touch "$whole"
fi
exec docker-entrypoint.sh "$@"
