#!/bin/sh
# Installs what is missing on this machine, and says nothing where nothing is.
#
#   setup.sh dev    for `make dev`: the servers, a C compiler, the Playground's page
#   setup.sh test   for `make test`: the servers, PgBouncer, HAProxy, Prometheus, a C compiler, Python, Node.js and
#                   the clients that run on it
set -eu
cd "$(dirname "$0")/.."

mode=${1:-}
case "$mode" in
dev | test) ;;
*)
    echo "usage: $0 dev|test" >&2
    exit 2
    ;;
esac

say() { echo "setup: $*" >&2; }
has() { command -v "$1" >/dev/null 2>&1; }

# Servers lie outside the PATH of many: in sbin, in a folder of their version, in a Homebrew keg.
has_server() {
    has "$1" && return
    for file in "/usr/sbin/$1" "/usr/local/sbin/$1" "/usr/local/bin/$1" "/opt/homebrew/bin/$1" \
        "/usr/lib/postgresql/"*"/bin/$1" "/usr/pgsql-"*"/bin/$1" \
        "/opt/homebrew/opt/postgresql@"*"/bin/$1" "/usr/local/opt/postgresql@"*"/bin/$1"; do
        [ -x "$file" ] && return
    done
    return 1
}

missing() {
    has_server postgres || echo postgresql
    has_server redis-server || echo redis-server
    has_server nats-server || echo nats-server
    has cc || has gcc || has clang || echo gcc
    has make || echo make
    [ "$mode" = dev ] || scripts/pgbouncer.sh packages
    [ "$mode" = dev ] || has node || echo nodejs
    [ "$mode" = dev ] || has npm || echo npm
    [ "$mode" = dev ] || has python3 || echo python3
    [ "$mode" = dev ] || has_server haproxy || echo haproxy
    [ "$mode" = dev ] || has_server prometheus || echo prometheus
    [ "$mode" = dev ] || has_server prometheus-alertmanager || has_server alertmanager || echo prometheus-alertmanager
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif has sudo; then
        sudo "$@"
    else
        say "not root and no sudo; install as root: $packages"
        exit 1
    fi
}

reset_switches() {
    # shellcheck disable=SC2086 # one word for each file
    as_root rm -f $switches
    as_root rmdir "${no_cluster%/*}" 2>/dev/null || true
}

# Debian's packages start their servers and make a cluster. Here each launcher starts its own, so the
# two switches that Debian has for it are set while the packages are installed.
apt_install() {
    no_cluster=/etc/postgresql-common/createcluster.d/fowergram.conf
    no_start=/usr/sbin/policy-rc.d
    switches=$no_cluster
    as_root sh -c "mkdir -p ${no_cluster%/*} && echo 'create_main_cluster = false' >$no_cluster"
    if [ ! -e "$no_start" ]; then
        switches="$switches $no_start"
        as_root sh -c "printf '#!/bin/sh\nexit 101\n' >$no_start && chmod 755 $no_start"
    fi
    trap reset_switches EXIT
    trap 'exit 130' INT TERM
    as_root apt-get -qq update
    # shellcheck disable=SC2086 # one word for each package
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 install $packages >/dev/null
    reset_switches
    trap - EXIT INT TERM
    if has systemctl; then
        for service in redis-server nats-server pgbouncer haproxy prometheus prometheus-alertmanager; do
            case " $packages " in
            *" $service "*) as_root systemctl --quiet disable "$service" >/dev/null 2>&1 || true ;;
            esac
        done
    fi
}

install_packages() {
    packages=$(missing | tr '\n' ' ')
    packages=${packages% }
    [ -n "$packages" ] || return 0
    if has apt-get; then
        case " $packages " in
        *" gcc "*) packages="$packages libc6-dev" ;;
        esac
        say "installing $packages"
        apt_install
    elif has brew; then
        case " $packages " in
        *" gcc "* | *" make "*)
            say "there is no C compiler: run xcode-select --install"
            exit 1
            ;;
        esac
        packages=$(echo "$packages" | sed 's/redis-server/redis/; s/postgresql/postgresql@17/; s/nodejs npm/node/; s/prometheus-alertmanager/alertmanager/')
        say "installing $packages"
        # shellcheck disable=SC2086 # one word for each package
        brew install --quiet $packages
    fi
    packages=$(missing | tr '\n' ' ')
    if [ -n "$packages" ]; then
        say "missing, to be installed by hand: ${packages% }"
        exit 1
    fi
}

# Runs a command whose words are shown only if it fails.
quietly() {
    log=$(mktemp)
    "$@" >"$log" 2>&1 && status=0 || status=$?
    [ "$status" = 0 ] || tail -n 5 "$log" >&2
    rm -f "$log"
    return "$status"
}

# The packages of a folder's lock file.
install_node_packages() {
    (cd "$1" && quietly npm ci --no-audit --no-fund)
}

build_playground() {
    [ -f playground/package.json ] && [ ! -e playground/dist/index.html ] || return 0
    if ! has node || ! has npm; then
        say "no Node.js: the Playground's page will load its parts from a CDN"
        return 0
    fi
    say "building the Playground"
    if ! { install_node_packages playground && (cd playground && quietly npm run build); }; then
        say "the Playground could not be built: its page will load its parts from a CDN"
    fi
}

install_test_clients() {
    installed=tests/torture/node_modules/.package-lock.json
    [ ! -e "$installed" ] || [ tests/torture/package-lock.json -nt "$installed" ] || return 0
    say "installing the clients of the torture test"
    if ! install_node_packages tests/torture; then
        say "they could not be installed; without them the torture test fails"
        exit 1
    fi
}

if ! has cargo && [ ! -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
    say "Rust is missing: see https://rustup.rs, or run"
    say "    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal -c rustfmt,clippy"
    exit 1
fi
install_packages
if [ "$mode" = dev ]; then
    build_playground
else
    install_test_clients
    # Without it the other tests are as good as ever.
    scripts/pgbouncer.sh || true
fi
