#!/usr/bin/env python3
"""Writes Grafana's dashboards to monitoring/grafana/dashboards, from the descriptions below.

    scripts/dashboards.py           writes them
    scripts/dashboards.py --check   fails if they are not as they would be written

Needs nothing but Python.
"""

import json
import pathlib
import sys

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "monitoring/grafana/dashboards"
RATE = "$__rate_interval"
FAULTS = "INTERNAL|TIMEOUT|SHARD_UNAVAILABLE|STORAGE_UNAVAILABLE"
SOURCE = {"type": "prometheus", "uid": "${source}"}


def selected(metric, where):
    """The series of a metric with these labels."""
    return f"{metric}{{{where}}}" if where else metric


def rate(metric, by="", where=""):
    """The sum of a counter's rate."""
    group = f" by ({by})" if by else ""
    return f"sum{group} (rate({selected(metric, where)}[{RATE}]))"


def quantile(share, histogram, by="", where=""):
    """A quantile of a histogram."""
    group = f"{by}, le" if by else "le"
    buckets = selected(f"{histogram}_bucket", where)
    return f"histogram_quantile({share}, sum by ({group}) (rate({buckets}[{RATE}])))"


def quantiles(histogram, where=""):
    """Median, 95th and 99th percentile."""
    return [(f"p{percent}", quantile(percent / 100, histogram, where=where)) for percent in (50, 95, 99)]


def graph(title, unit, description, *lines, stack=False, limit=None):
    """A panel with lines over time; each line is a legend and an expression."""
    return {"type": "timeseries", "title": title, "unit": unit, "description": description, "lines": lines,
            "stack": stack, "limit": limit}


def stat(title, unit, description, expression, limit=None, least=None):
    """A panel with one number. It is red above `limit`, or below `least`."""
    return {"type": "stat", "title": title, "unit": unit, "description": description,
            "lines": [("", expression)], "limit": limit, "least": least}


OPERATIONS = "fowergram_graphql_operations_total"
DASHBOARDS = {
    "overview": ("Overview", [
        ("Now", [
            stat("API processes", "short", "Those that show their metrics.",
                 'count(fowergram_build_info{role=~"api|dev"}) or vector(0)', least=1),
            stat("Workers", "short", "Those that show their metrics.",
                 'count(fowergram_build_info{role=~"worker|dev"}) or vector(0)', least=1),
            stat("Shards down", "short", "Primaries that most processes can't use.",
                 'count(avg by (shard) (fowergram_shard_up{endpoint="primary"}) < 0.5) or vector(0)', limit=1),
            stat("Faults", "percentunit", "The share of operations that failed by the system's fault.",
                 f'({rate(OPERATIONS, where=f"outcome=~{chr(34)}{FAULTS}{chr(34)}")} or vector(0)) / {rate(OPERATIONS)}',
                 limit=0.001),
            stat("Dead events", "short", "Effects that failed for good.", "max(fowergram_dead_events) or vector(0)",
                 limit=1),
            stat("Open sockets", "short", "WebSockets and event streams.", "sum(fowergram_sockets)"),
        ]),
        ("Requests", [
            graph("Operations", "ops", "GraphQL operations by type.", ("{{type}}", rate(OPERATIONS, "type")), stack=True),
            graph("Errors", "ops", "Operations by the code of their first error.",
                  ("{{outcome}}", rate(OPERATIONS, "outcome", 'outcome!="OK"'))),
            graph("Error budget", "percentunit",
                  "The share of an objective's errors in the last hour, divided by what it allows: above 1 the budget is "
                  "spent before the month is over.",
                  ("{{slo}}", "fowergram:slo_errors:ratio_rate1h / on (slo) fowergram:slo_budget:ratio"), limit=1),
            graph("Time of queries", "s", "From admission to the answer.",
                  *quantiles("fowergram_graphql_duration_seconds", 'type="query"')),
            graph("Time of mutations", "s", "From admission to the answer.",
                  *quantiles("fowergram_graphql_duration_seconds", 'type="mutation"')),
            graph("Named operations", "ops", "Those in OPERATION_NAMES; all others are other.",
                  ("{{operation}}", rate(OPERATIONS, "operation", 'type!="refused"'))),
            graph("HTTP", "reqps", "Requests by route and status.",
                  ("{{path}} {{status}}", rate("fowergram_http_requests_total", "path, status"))),
            graph("Refused", "reqps", "Requests and sockets refused because too many were open.",
                  ("refused", rate("fowergram_http_overload_refusals_total"))),
            graph("Caches", "percentunit", "The share of lookups that found something.",
                  ("{{cache}}", rate("fowergram_cache_requests_total", "cache", 'outcome="hit"') + " / "
                   + rate("fowergram_cache_requests_total", "cache"))),
        ]),
    ]),
    "shards": ("Shards", [
        ("Servers", [
            graph("Up", "short", "1 where all processes can use the server, 0 where none can.",
                  ("{{shard}} {{endpoint}}", "avg by (shard, endpoint) (fowergram_shard_up)")),
            graph("Errors", "ops", "Requests that a server did not answer.",
                  ("{{shard}} {{endpoint}}", rate("fowergram_shard_errors_total", "shard, endpoint"))),
            graph("Replica lag", "s", "How old a replica's data is, at most.",
                  ("{{shard}} {{endpoint}}", "max by (shard, endpoint) (fowergram_replica_lag_seconds)")),
        ]),
        ("Statements", [
            graph("Statements by shard", "ops", "Statements and commits.",
                  ("{{shard}}", rate("fowergram_query_duration_seconds_count", "shard")), stack=True),
            graph("Time by shard", "s", "99th percentile of a statement's time.",
                  ("{{shard}}", quantile(0.99, "fowergram_query_duration_seconds", "shard"))),
            graph("Time of commits", "s", "99th percentile of BEGIN, COMMIT and ROLLBACK.",
                  ("{{shard}}", quantile(0.99, "fowergram_query_duration_seconds", "shard", 'table="transaction"'))),
            graph("Busiest tables", "s", "Time that statements take each second, by the table that they name first.",
                  ("{{table}}", f'topk(8, {rate("fowergram_query_duration_seconds_sum", "table")})')),
            graph("Slowest tables", "s", "99th percentile of a statement's time, by the table that it names first.",
                  ("{{table}}", f'topk(8, {quantile(0.99, "fowergram_query_duration_seconds", "table")})')),
            graph("Reads from replicas", "ops", "Reads that may be a little old, by the server that answered.",
                  ("{{shard}} {{endpoint}}", rate("fowergram_shard_lagging_reads_total", "shard, endpoint"))),
        ]),
        ("Connections", [
            graph("In use", "percentunit", "The share of a pool's connections that are in use.",
                  ("{{shard}} {{endpoint}}",
                   'sum by (shard, endpoint) (fowergram_pool_connections{state="used"}) '
                   "/ sum by (shard, endpoint) (fowergram_pool_max_connections)"), limit=0.9),
            graph("Wait for a connection", "s", "99th percentile.",
                  ("{{shard}} {{endpoint}}", quantile(0.99, "fowergram_pool_wait_seconds", "shard, endpoint")),
                  limit=0.1),
            graph("Repeated work", "ops", "Transactions run again, groups split, and statements prepared anew.",
                  ("transactions", rate("fowergram_transaction_retries_total")),
                  ("groups", rate("fowergram_groups_split_total")),
                  ("statements", rate("fowergram_statements_reprepared_total"))),
        ]),
    ]),
    "live": ("Live streams", [
        ("Clients", [
            graph("Open", "short", "WebSockets and event streams, and subscriptions on them.",
                  ("sockets", "sum(fowergram_sockets)"), ("subscriptions", "sum(fowergram_subscriptions)")),
            graph("Sockets by process", "short", "MAX_SOCKETS limits each.", ("{{instance}}", "fowergram_sockets")),
            graph("Closed", "ops", "WebSockets that ended, by close code.",
                  ("{{code}}", rate("fowergram_sockets_closed_total", "code"))),
            graph("Slow consumers", "ops", "Clients that were cut off because they did not read.",
                  ("slow", rate("fowergram_slow_consumers_total"))),
            graph("Delivery", "s", "From a change until the process with listeners has read it.",
                  *quantiles("fowergram_live_delivery_seconds"), limit=1),
            graph("Changes", "ops", "Read from the shards, and given to subscriptions.",
                  ("read", rate("fowergram_live_changes_read_total")),
                  ("delivered", rate("fowergram_live_changes_delivered_total"))),
            graph("Topics", "short", "What somebody listens to: streams from rows, and signals that are not stored.",
                  ("topics", "sum(fowergram_live_topics)"), ("signals", "sum(fowergram_live_signals)")),
            graph("Lost signals", "ops", "Streams notice the changes by themselves, a little later.",
                  ("in a process", rate("fowergram_live_signals_missed_total")),
                  ("not taken by NATS", rate("fowergram_bus_dropped_total"))),
            graph("Time of subscriptions' start", "s", "99th percentile until a subscription runs.",
                  ("p99", quantile(0.99, "fowergram_graphql_duration_seconds", where='type="subscription"'))),
        ]),
    ]),
    "effects": ("Feed and effects", [
        ("From the outbox to NATS", [
            graph("Age of the oldest event", "s", "By shard.",
                  ("{{shard}}", "max by (shard) (fowergram_outbox_age_seconds)"), limit=60),
            graph("Events in the outbox", "short", "By shard; counted up to 100,000.",
                  ("{{shard}}", "max by (shard) (fowergram_outbox_rows)")),
            graph("Published", "ops", "Events sent to NATS, and stored by it.",
                  ("sent", rate("fowergram_events_published_total")), ("stored", rate("fowergram_events_acked_total"))),
        ]),
        ("Effects", [
            graph("Waiting", "short", "Events that wait for an effect.",
                  ("{{effect}}", 'max by (effect) (fowergram_consumer_events{state="pending"})')),
            graph("Applied", "ops", "Effects that succeeded.",
                  ("{{effect}}", rate("fowergram_effects_total", "effect", 'outcome="done"')), stack=True),
            graph("Failed", "ops", "Effects that failed and are retried, or are given up.",
                  ("{{effect}} {{outcome}}", rate("fowergram_effects_total", "effect, outcome", 'outcome!="done"'))),
            graph("Time", "s", "99th percentile.",
                  ("{{effect}}", quantile(0.99, "fowergram_effect_duration_seconds", "effect"))),
            graph("Redeliveries", "ops", "Events that were delivered more than once.",
                  ("{{effect}}", rate("fowergram_redeliveries_total", "effect"))),
            graph("Dead events", "short", "Events whose effect failed for good.",
                  ("dead", "max(fowergram_dead_events)"), limit=1),
        ]),
        ("Feeds and Redis", [
            graph("Reads of feeds", "ops", "Found in Redis, or not.",
                  ("{{outcome}}", rate("fowergram_cache_requests_total", "outcome", 'cache="feed"')), stack=True),
            graph("Rebuilds", "ops", "Feeds built anew, and feeds read from the shards.",
                  ("built", rate("fowergram_feed_rebuilds_total")),
                  ("without Redis", rate("fowergram_feed_reads_without_cache_total"))),
            graph("Redis errors", "ops", "Commands that Redis did not answer.",
                  ("errors", rate("fowergram_redis_errors_total"))),
        ]),
    ]),
    "media": ("Media and jobs", [
        ("Images", [
            graph("Images", "ops", "Made ready, and rejected.",
                  ("ready", rate("fowergram_media_processed_total")),
                  ("rejected", rate("fowergram_media_rejected_total"))),
            graph("Time of an image", "s", "To decode and resize it.", *quantiles("fowergram_media_duration_seconds")),
            graph("Waiting", "short", "Uploads that no worker has begun.",
                  ("waiting", 'max(fowergram_consumer_events{effect="media", state="pending"})')),
        ]),
        ("Jobs", [
            graph("Time of jobs", "s", "99th percentile of a run.",
                  ("{{task}}", quantile(0.99, "fowergram_job_duration_seconds", "task"))),
            graph("Failed jobs", "ops", "Runs that failed.", ("{{task}}", rate("fowergram_job_failures_total", "task"))),
            graph("Backfills", "ops", "Rows that migrations write in the background.",
                  ("{{backfill}}", rate("fowergram_backfill_rows_total", "backfill"))),
        ]),
    ]),
    "business": ("People", [
        ("Activity", [
            graph("Sign-ups", "ops", "New accounts.", ("sign-ups", rate("fowergram_activity_total", where='activity="sign_up"'))),
            graph("Posts and comments", "ops", "What people publish.",
                  ("{{activity}}", rate("fowergram_activity_total", "activity", 'activity=~"post|comment"'))),
            graph("Messages", "ops", "Messages sent.",
                  ("messages", rate("fowergram_activity_total", where='activity="message"'))),
            graph("Likes and follows", "ops", "What people like, and whom they follow.",
                  ("{{activity}}", rate("fowergram_activity_total", "activity", 'activity=~"like|follow"'))),
            graph("In the last day", "short", "All activity.",
                  ("{{activity}}", "sum by (activity) (increase(fowergram_activity_total[1d]))")),
            graph("Refused sign-ins", "ops", "Because too many came at once.",
                  ("refused", rate("fowergram_password_hashes_refused_total"))),
        ]),
    ]),
    "runtime": ("Processes", [
        ("Processes", [
            graph("CPU", "short", "Cores in use.", ("{{instance}}", f"rate(process_cpu_seconds_total[{RATE}])")),
            graph("Memory", "bytes", "Resident memory.", ("{{instance}}", "process_resident_memory_bytes")),
            graph("Open files", "percentunit", "The share of the files that a process may open.",
                  ("{{instance}}", "process_open_fds / process_max_fds"), limit=0.8),
            graph("Tasks", "short", "Tokio tasks that are alive.", ("{{instance}}", "fowergram_tokio_tasks")),
            graph("Tasks that wait", "short", "For a thread. A few are normal; many mean that CPU is short.",
                  ("{{instance}}", "fowergram_tokio_queue_depth")),
            graph("Commits that wait", "short", "Whose events are about to be published.",
                  ("{{instance}}", "fowergram_relay_queue")),
            graph("Threads", "short", "Threads of the operating system, and those that run tasks.",
                  ("{{instance}}", "process_threads"), ("{{instance}} for tasks", "fowergram_tokio_workers")),
            graph("Uptime", "s", "Since the process started.", ("{{instance}}", "time() - process_start_time_seconds")),
            graph("Age of the token key", "s", "By the time of the file.",
                  ("{{instance}}", "fowergram_token_key_age_seconds")),
        ]),
    ]),
}


def thresholds(panel):
    """Green, and red where something is to be done."""
    steps = [{"color": "green", "value": None}]
    if panel.get("least") is not None:
        steps = [{"color": "red", "value": None}, {"color": "green", "value": panel["least"]}]
    elif panel.get("limit") is not None:
        steps.append({"color": "red", "value": panel["limit"]})
    return {"mode": "absolute", "steps": steps}


def as_panel(panel, number, place):
    """A panel in Grafana's form."""
    targets = [
        {"refId": chr(ord("A") + index), "datasource": SOURCE, "expr": expression,
         "legendFormat": legend or "__auto"}
        for index, (legend, expression) in enumerate(panel["lines"])
    ]
    defaults = {"unit": panel["unit"], "thresholds": thresholds(panel), "min": 0}
    options = {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
               "tooltip": {"mode": "multi", "sort": "desc"}}
    if panel["type"] == "timeseries":
        defaults["custom"] = {
            "drawStyle": "line", "lineWidth": 1, "fillOpacity": 20 if panel["stack"] else 5, "showPoints": "never",
            "stacking": {"mode": "normal" if panel["stack"] else "none", "group": "A"},
            "thresholdsStyle": {"mode": "line" if panel["limit"] is not None else "off"},
        }
    else:
        options = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "colorMode": "value",
                   "graphMode": "none", "justifyMode": "auto", "orientation": "auto", "textMode": "auto"}
    return {"id": number, "type": panel["type"], "title": panel["title"], "description": panel["description"],
            "datasource": SOURCE, "gridPos": place, "targets": targets,
            "fieldConfig": {"defaults": defaults, "overrides": []}, "options": options}


def dashboard(name, title, rows):
    """A dashboard in Grafana's form: rows of three graphs, or of six numbers."""
    panels, top, number = [], 0, 1
    for row, members in rows:
        panels.append({"id": number, "type": "row", "title": row, "collapsed": False, "panels": [],
                       "gridPos": {"h": 1, "w": 24, "x": 0, "y": top}})
        top, number = top + 1, number + 1
        width, height = (4, 4) if members[0]["type"] == "stat" else (8, 8)
        for index, member in enumerate(members):
            line, column = divmod(index, 24 // width)
            place = {"h": height, "w": width, "x": column * width, "y": top + line * height}
            panels.append(as_panel(member, number, place))
            number += 1
        top += -(-len(members) // (24 // width)) * height
    source = {"name": "source", "type": "datasource", "label": "Data source", "query": "prometheus", "hide": 0,
              "current": {"text": "Prometheus", "value": "prometheus"}, "regex": "", "refresh": 1}
    return {"uid": f"fowergram-{name}", "title": f"Fowergram: {title}", "tags": ["fowergram"], "schemaVersion": 39,
            "version": 1, "editable": True, "graphTooltip": 1, "timezone": "browser", "refresh": "30s",
            "time": {"from": "now-6h", "to": "now"}, "templating": {"list": [source]},
            "annotations": {"list": []},
            "links": [{"type": "dashboards", "tags": ["fowergram"], "title": "Fowergram", "asDropdown": True,
                       "includeVars": True, "keepTime": True, "targetBlank": False, "icon": "", "tooltip": "",
                       "url": ""}],
            "panels": panels}


def main():
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.exit(__doc__)
    wanted = {
        FOLDER / f"{name}.json": json.dumps(dashboard(name, title, rows), indent=2) + "\n"
        for name, (title, rows) in DASHBOARDS.items()
    }
    if check:
        wrong = [file for file, text in wanted.items() if not file.exists() or file.read_text() != text]
        wrong += [file for file in FOLDER.glob("*.json") if file not in wanted]
        if wrong:
            sys.exit("run scripts/dashboards.py: " + ", ".join(sorted(file.name for file in wrong)))
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    for file, text in wanted.items():
        file.write_text(text)


main()
