#!/bin/sh
# PgBouncer for the tests, 1.21 or later: earlier ones give wrong rows in transaction mode, and Debian 12 has
# 1.18. Says nothing where one is there; else builds Debian's source of a later one into the cache folder.
#
#   pgbouncer.sh            builds it where it is missing
#   pgbouncer.sh packages   prints what has to be installed for that
set -eu

version=1.24.1
# Of the upstream archive, which stays the same while Debian revises its package.
sha256=da72a3aba13072876d055a3e58dd4aba4a5de4ed6148e73033185245598fd3e0
suite=trixie
cache=${XDG_CACHE_HOME:-$HOME/.cache}/fowergram/pgbouncer

has() { command -v "$1" >/dev/null 2>&1; }
give_up() {
    echo "setup: PgBouncer 1.21 or later is missing and could not be built ($1): the tests of it will fail" >&2
    exit 1
}

# "1.24.1" or a package's "1.24.1-1".
recent() { echo "$1" | awk -F '[.+~-]' '{ exit !($1 > 1 || $1 == 1 && $2 >= 21) }'; }

installed() {
    for file in "$(command -v pgbouncer || true)" /usr/sbin/pgbouncer /usr/local/bin/pgbouncer \
        /opt/homebrew/bin/pgbouncer "$cache"/*/pgbouncer; do
        [ -x "$file" ] && recent "$("$file" --version 2>/dev/null | awk 'NR == 1 { print $2 }')" && return
    done
    return 1
}

packages() {
    if ! has apt-get || recent "$(apt-cache policy pgbouncer | awk '/Candidate:/ { print $2 }')"; then
        echo pgbouncer
        return
    fi
    [ -e /usr/include/event2/event.h ] || echo libevent-dev
    has pkg-config || echo pkg-config
}

# Debian's own address as this machine has it, be it a mirror; apt verifies what comes from there.
fetch() {
    mirror=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' |
        awk '$1 == "Debian" { print $2; exit }')
    [ -n "$mirror" ] || give_up "no mirror of Debian is configured"
    mkdir -p lists/partial
    echo "deb-src $mirror $suite main" >sources.list
    apt="-qq -o Dir::Etc::SourceList=$PWD/sources.list -o Dir::Etc::SourceParts=- -o Dir::State::Lists=$PWD/lists
        -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User="
    # shellcheck disable=SC2086 # options
    apt-get $apt update && apt-get $apt source --download-only pgbouncer
}

build() {
    has apt-get || give_up "it is built on Debian only"
    echo "setup: building PgBouncer $version" >&2
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT TERM
    cd "$work"
    fetch >log 2>&1 || give_up "its source can't be fetched: $(tail -n 1 log)"
    archive=pgbouncer_$version.orig.tar.gz
    echo "$sha256  $archive" | sha256sum --check --quiet >log 2>&1 || give_up "$suite has another version than $version"
    tar xzf "$archive"
    cd "pgbouncer-$version"
    { ./configure --without-cares --without-openssl && make pgbouncer; } >../log 2>&1 ||
        give_up "$(tail -n 1 ../log)"
    mkdir -p "$cache/$version"
    # Renamed, so that nobody finds half of it.
    cp pgbouncer "$cache/$version/part" && mv "$cache/$version/part" "$cache/$version/pgbouncer"
}

installed && exit
case "${1:-}" in
packages) packages ;;
*) build ;;
esac
