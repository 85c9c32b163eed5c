#!/bin/sh
# The start of a PgBouncer before one shard, whose host is in SERVER. Its password is the server's, in PGPASSWORD: of any
# characters, so that it is not in an address here either.
#
# PGUSER (fowergram), PORT (6432), and CONFIGURATION, a folder that it may write to (/etc/pgbouncer), have defaults.
set -eu
umask 077

user=${PGUSER:-fowergram}
folder=${CONFIGURATION:-/etc/pgbouncer}

# As PgBouncer reads a text in quotes.
quoted() { printf '"%s"' "$(printf '%s' "$1" | sed 's/"/""/g')"; }

printf '%s %s\n' "$(quoted "$user")" "$(quoted "$PGPASSWORD")" >"$folder/users.txt"

# docs/OPERATIONS.md says what the values must be.
cat >"$folder/fowergram.ini" <<END
[databases]
* = host=$SERVER port=${SERVER_PORT:-5432}

[pgbouncer]
listen_addr = ${LISTEN:-*}
listen_port = ${PORT:-6432}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = $folder/users.txt
pool_mode = transaction
max_prepared_statements = 200
default_pool_size = 20
max_client_conn = 1000
ignore_startup_parameters = extra_float_digits
query_wait_timeout = 5
server_login_retry = 1
log_connections = 0
log_disconnections = 0
END

exec pgbouncer "$folder/fowergram.ini"
