#!/usr/bin/env bash
# Builds the program of the release before, for the tests that run it beside this one, and prints its path. While
# nothing is released, it is the newest program that knows one migration less. Prints nothing if the history of the
# repository is not there.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "previous: $*" >&2; }
commit() { git rev-parse --verify --quiet "$1^{commit}" 2>/dev/null; }

migrations() { git ls-tree --name-only "$1" migration/src/ | grep '/m[0-9]'; }

# The newest commit all of whose migrations are here, while there are more here.
release() {
    local tag changed here missing
    tag=$(git describe --tags --abbrev=0 --match 'v[0-9]*' HEAD^ 2>/dev/null) && commit "$tag" && return
    here=$(ls migration/src/m[0-9]*)
    for changed in HEAD $(git log --format=%H^ -- migration/src 2>/dev/null); do
        missing=$(migrations "$changed" 2>/dev/null) || continue
        [[ $missing != "$here" && -z $(comm -23 <(echo "$missing") <(echo "$here")) ]] || continue
        commit "$changed" && return
    done
    return 1
}

if ! revision=$(release); then
    say "the history is not there, so no release before this one can be built"
    exit 0
fi

mkdir -p "${CARGO_TARGET_DIR:-target}"
target=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)
program=$target/previous/$revision/fowergram
if [[ ! -x $program ]]; then
    say "building ${revision:0:12}, the release before"
    sources=$(mktemp -d)
    trap 'rm -rf "$sources"' EXIT
    git archive "$revision" | tar -x -C "$sources"
    # Another version: what is built of these sources is never taken for what is built of those.
    sed -i.orig '/^\[workspace.package\]/,/^\[/s/^version = .*/version = "0.0.0-previous"/' "$sources/Cargo.toml"
    # With the features of a test's build, so that both share their dependencies.
    (cd "$sources" && CARGO_TARGET_DIR=$target cargo build --workspace --bin fowergram --examples) >&2
    rm -rf "$target/previous"
    mkdir -p "${program%/*}"
    cp "$target/debug/fowergram" "$program.part"
    mv "$program.part" "$program"
fi
echo "$program"
