#!/usr/bin/env bash
# Measures what native partitions would do to the tables that grow without bound: each as it is beside the
# same table in partitions, with the statements of the program. Writes rows of a Markdown table.
#
#   bench-partitions.sh [table…]     likes messages notifications receiver_log outbox
#
# ROWS (5000000), SECONDS_EACH (2) and REPEATS (3) make it shorter. The server is its own, without fsync, and
# goes with its folder when the script ends. What counts is the ratio of the two, run by turns.
set -euo pipefail
cd "$(dirname "$0")/../loadtest/partitions"
rows=${ROWS:-5000000} seconds=${SECONDS_EACH:-2} repeats=${REPEATS:-3}
tables=("$@")
[ $# -gt 0 ] || tables=(likes messages notifications receiver_log outbox)

bin=$(dirname "$(command -v pgbench || true)")
for folder in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql@*/bin; do
    [ -x "$folder/initdb" ] && [ -x "$folder/pgbench" ] && bin=$folder
done
[ -x "$bin/initdb" ] || { echo "PostgreSQL's server and pgbench are needed: scripts/setup.sh test" >&2; exit 1; }

# `postgres` does not run as root.
as_user=()
[ "$(id -u)" != 0 ] || as_user=(setpriv --reuid=postgres --regid=postgres --init-groups --)

dir=$(mktemp -d)
chmod 755 "$dir"
[ "$(id -u)" != 0 ] || chown postgres "$dir"
finish() {
    [ ! -e "$dir/data/postmaster.pid" ] || "${as_user[@]}" "$bin/pg_ctl" -D "$dir/data" -m immediate -s stop
    rm -rf "$dir"
}
trap finish EXIT
trap 'exit 130' INT TERM

start() {
    "${as_user[@]}" "$bin/initdb" --pgdata "$dir/data" --auth=trust --no-sync --username=bench >"$dir/initdb.log"
    local settings="-c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off -c shared_buffers=1GB
        -c maintenance_work_mem=256MB -c max_wal_size=8GB -c autovacuum=off -c jit=off -c random_page_cost=1.1"
    for _ in 1 2 3 4 5; do
        export PGPORT=$((20000 + RANDOM % 12000))
        if "${as_user[@]}" "$bin/pg_ctl" -D "$dir/data" -s -w -l "$dir/log" -o "-p $PGPORT ${settings//$'\n'/ }" start; then
            return
        fi
    done
    tail -n 3 "$dir/log" >&2
    exit 1
}
export PGHOST=127.0.0.1 PGUSER=bench PGDATABASE=postgres

# The part of a table's file under this mark.
part() { awk -v mark="-- @$2" '/^-- @/ { on = ($0 == mark) } on' "$1.sql"; }
sql() { PGOPTIONS="-c search_path=$1,public" "$bin/psql" -XqAt -v ON_ERROR_STOP=1 -v rows="$rows" "${@:2}"; }
median() { sort -n | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'; }
now() { date +%s%3N; }

# One row: what, the table as it is, in partitions, their ratio.
row() { awk -v OFS=' | ' -v a="$3" -v b="$4" -v f="${5:-%d}" \
    'BEGIN { printf "| %s | %s | " f " | " f " | %.2f |\n", "'"$1"'", "'"$2"'", a, b, b / a }'; }

fill() {
    local table=$1
    part "$table" tables | sql public
    part "$table" fill | sql public
    local index
    index=$(part "$table" index)
    (
        sql parted -c "insert into parted.$table select * from plain.$table"
        { part "$table" "index parted"; echo "$index"; } | sql parted
    ) &
    { part "$table" "index plain"; echo "$index"; } | sql plain
    wait $!
    sql public -c "vacuum analyze plain.$table" -c "vacuum analyze parted.$table" -c checkpoint
}

# Transactions a second of four clients.
transactions() {
    if ! PGOPTIONS="-c search_path=$1,public" "$bin/pgbench" -n -M prepared -c 4 -j 1 -T "$seconds" \
        --random-seed="$3" -f "$2" >"$dir/pgbench.out" 2>"$dir/pgbench.log"; then
        tail -n 3 "$dir/pgbench.log" >&2
        return 1
    fi
    awk '/^tps/ { print $3 }' "$dir/pgbench.out"
}

# The median of PostgreSQL's own figure, in a session that has planned before.
planning() {
    local statement
    statement=$(part "$2" plan | sed 1d)
    for _ in $(seq 21); do echo "explain (summary) $statement"; done | sql "$1" |
        awk '/Planning Time/ { print $3 }' | tail -n 20 | median
}

measure() {
    local table=$1 what file
    grep '^-- @run ' "$table.sql" | sed 's/^-- @run //' >"$dir/runs"
    while read -r what; do
        file="$dir/script.sql"
        part "$table" "run $what" | sed 1d >"$file"
        : >"$dir/plain"; : >"$dir/parted"
        for repeat in $(seq "$repeats"); do
            for kind in plain parted; do
                transactions $kind "$file" "$repeat" >>"$dir/$kind"
            done
        done
        row "$table" "$what, a second" "$(median <"$dir/plain")" "$(median <"$dir/parted")"
    done <"$dir/runs"
}

clean() {
    local table=$1 began
    [ -n "$(part "$table" "clean plain")" ] || return 0
    : >"$dir/plain"; : >"$dir/parted"
    for repeat in $(seq 0 $((repeats - 1))); do
        for kind in plain parted; do
            began=$(now)
            part "$table" "clean $kind" | sql $kind -v part="$repeat"
            echo $(($(now) - began)) >>"$dir/$kind"
        done
    done
    row "$table" "clean-up, ms" "$(median <"$dir/plain")" "$(median <"$dir/parted")"
}

began=$(now)
start
sql public -f common.sql
echo "| table | what | as it is | in partitions | ratio |"
echo "|---|---|--:|--:|--:|"
for table in "${tables[@]}"; do
    fill "$table"
    row "$table" "size with indexes, MB" "$(sql public -c "select weight('plain.$table') / 1000000")" \
        "$(sql public -c "select weight('parted.$table') / 1000000")"
    row "$table" "planning a read, ms" "$(planning plain "$table")" "$(planning parted "$table")" %.3f
    measure "$table"
    clean "$table"
    sql public -c "drop table plain.$table, parted.$table"
done
echo "took $((($(now) - began) / 1000)) s" >&2
