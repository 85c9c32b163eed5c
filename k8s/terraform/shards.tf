locals {
  # Replicas by name: "s0-1" is the first of s0.
  replicas = merge([
    for name, shard in var.shards : {
      for number in range(shard.replicas) : "${name}-${number + 1}" => { shard = name, tier = shard.tier }
    }
  ]...)
}

resource "google_sql_database_instance" "shard" {
  for_each = var.shards

  name                = "${var.name}-${each.key}"
  database_version    = "POSTGRES_17"
  deletion_protection = var.deletion_protection

  settings {
    edition           = "ENTERPRISE"
    tier              = each.value.tier
    availability_type = "REGIONAL"
    disk_type         = "PD_SSD"
    disk_size         = each.value.disk_gb
    disk_autoresize   = true

    ip_configuration {
      ipv4_enabled    = false
      private_network = google_compute_network.main.id
      ssl_mode        = "ENCRYPTED_ONLY"
    }

    backup_configuration {
      enabled                        = true
      point_in_time_recovery_enabled = true
      transaction_log_retention_days = 7
    }

    # wal_level=logical, which moving slots to another shard needs.
    database_flags {
      name  = "cloudsql.logical_decoding"
      value = "on"
    }

    insights_config {
      query_insights_enabled = true
    }
  }

  lifecycle {
    # The disk grows by itself.
    ignore_changes = [settings[0].disk_size]
  }

  depends_on = [google_service_networking_connection.services]
}

resource "google_sql_database_instance" "replica" {
  for_each = local.replicas

  name                 = "${var.name}-${each.key}"
  database_version     = "POSTGRES_17"
  master_instance_name = google_sql_database_instance.shard[each.value.shard].name
  deletion_protection  = var.deletion_protection

  settings {
    edition           = "ENTERPRISE"
    tier              = each.value.tier
    availability_type = "ZONAL"

    ip_configuration {
      ipv4_enabled    = false
      private_network = google_compute_network.main.id
      ssl_mode        = "ENCRYPTED_ONLY"
    }

    database_flags {
      name  = "cloudsql.logical_decoding"
      value = "on"
    }
  }
}

resource "google_sql_database" "shard" {
  for_each = var.shards

  name     = "fowergram"
  instance = google_sql_database_instance.shard[each.key].name
}

resource "random_password" "shard" {
  for_each = var.shards

  length  = 40
  special = false
}

resource "google_sql_user" "shard" {
  for_each = var.shards

  name     = "fowergram"
  instance = google_sql_database_instance.shard[each.key].name
  password = random_password.shard[each.key].result
}
