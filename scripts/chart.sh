#!/bin/sh
# Runs scripts/chart.py with what it needs, which is installed at the first time.
#
#   chart.sh check|render ...   see scripts/chart.py
#
# Ends with 3 if that can't be installed.
set -eu
cd "$(dirname "$0")/.."

# It asks for Python 3.12, but runs on those that Debian 12 has.
helm=helm-sdkpy==0.1.32
folder=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/fowergram/chart-$({ echo "$helm"; cat scripts/chart-requirements.txt; } | cksum | cut -d ' ' -f 1)

unavailable() {
    echo "chart: $1; the chart is not checked" >&2
    exit 3
}

if [ ! -e "$folder/complete" ]; then
    echo "chart: installing Helm's library and the schemas of Kubernetes, some 80 MB" >&2
    rm -rf "$folder"
    python3 -m venv "$folder" >/dev/null 2>&1 || unavailable "python3 can't make a virtual environment (python3-venv)"
    "$folder/bin/pip" install --quiet --disable-pip-version-check --requirement scripts/chart-requirements.txt &&
        "$folder/bin/pip" install --quiet --disable-pip-version-check --no-deps --ignore-requires-python "$helm" ||
        unavailable "pip can't install what it needs"
    : >"$folder/complete"
fi
# Helm's library writes to standard error what it does.
exec "$folder/bin/python" scripts/chart.py "$@"
