#!/bin/sh
# Prints the configuration of Alertmanager: routes.yml with the receivers that the environment names.
#
#   ALERT_WEBHOOK_URL     a webhook, for pages and tickets
#   ALERT_SLACK_URL       a Slack webhook, for pages and tickets
#   ALERT_PAGERDUTY_KEY   a PagerDuty integration key, for pages
#   ALERT_MAIL_TO         an address, for pages and tickets; with ALERT_MAIL_FROM and ALERT_SMTP_HOST (host:port),
#                         and ALERT_SMTP_USER and ALERT_SMTP_PASSWORD if the server asks for them;
#                         ALERT_SMTP_TLS=false if it has no TLS
#
# Without any of them, alerts are only shown.
set -eu
cd "$(dirname "$0")"

fail() {
    echo "configure.sh: $*" >&2
    exit 1
}

for value in "${ALERT_WEBHOOK_URL:-}" "${ALERT_SLACK_URL:-}" "${ALERT_PAGERDUTY_KEY:-}" "${ALERT_MAIL_TO:-}" \
    "${ALERT_MAIL_FROM:-}" "${ALERT_SMTP_HOST:-}" "${ALERT_SMTP_USER:-}" "${ALERT_SMTP_PASSWORD:-}" \
    "${ALERT_SMTP_TLS:-}"; do
    case "$value" in
    *"
"*) fail "a setting has more than one line" ;;
    esac
done

# A value as YAML in single quotes.
quoted() {
    printf "'%s'" "$(printf '%s' "$1" | sed "s/'/''/g")"
}

receiver() {
    echo "  - name: $1"
    if [ -n "${ALERT_WEBHOOK_URL:-}" ]; then
        echo "    webhook_configs: [{url: $(quoted "$ALERT_WEBHOOK_URL"), send_resolved: true}]"
    fi
    if [ -n "${ALERT_SLACK_URL:-}" ]; then
        echo "    slack_configs: [{api_url: $(quoted "$ALERT_SLACK_URL"), send_resolved: true}]"
    fi
    if [ -n "${ALERT_PAGERDUTY_KEY:-}" ] && [ "$1" = page ]; then
        echo "    pagerduty_configs: [{routing_key: $(quoted "$ALERT_PAGERDUTY_KEY")}]"
    fi
    if [ -n "${ALERT_MAIL_TO:-}" ]; then
        echo "    email_configs: [{to: $(quoted "$ALERT_MAIL_TO"), send_resolved: true}]"
    fi
}

if [ -n "${ALERT_MAIL_TO:-}" ]; then
    [ -n "${ALERT_MAIL_FROM:-}" ] || fail "ALERT_MAIL_TO needs ALERT_MAIL_FROM"
    [ -n "${ALERT_SMTP_HOST:-}" ] || fail "ALERT_MAIL_TO needs ALERT_SMTP_HOST"
    echo "global:"
    echo "  smtp_from: $(quoted "$ALERT_MAIL_FROM")"
    echo "  smtp_smarthost: $(quoted "$ALERT_SMTP_HOST")"
    case "${ALERT_SMTP_TLS:-true}" in
    true | false) echo "  smtp_require_tls: ${ALERT_SMTP_TLS:-true}" ;;
    *) fail "ALERT_SMTP_TLS is true or false" ;;
    esac
    if [ -n "${ALERT_SMTP_USER:-}" ]; then
        echo "  smtp_auth_username: $(quoted "$ALERT_SMTP_USER")"
        echo "  smtp_auth_password: $(quoted "${ALERT_SMTP_PASSWORD:-}")"
    fi
fi
cat routes.yml
echo "receivers:"
echo "  - name: nobody"
receiver page
receiver ticket
