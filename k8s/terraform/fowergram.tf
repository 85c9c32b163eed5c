resource "kubernetes_namespace" "main" {
  metadata {
    name = var.name
  }
}

resource "tls_private_key" "token" {
  algorithm = "ED25519"
}

locals {
  files = "/etc/fowergram/files"

  # Each shard and replica has an authority of its own.
  shards = {
    for name, shard in google_sql_database_instance.shard : name => format(
      "postgres://fowergram:%s@%s/fowergram?sslmode=verify-ca&sslrootcert=%s/%s.pem",
      random_password.shard[name].result, shard.private_ip_address, local.files, name
    )
  }
  shard_replicas = {
    for name, replica in google_sql_database_instance.replica : name => format(
      "postgres://fowergram:%s@%s/fowergram?sslmode=verify-ca&sslrootcert=%s/%s.pem",
      random_password.shard[local.replicas[name].shard].result, replica.private_ip_address, local.files, name
    )
  }
  redis = google_redis_instance.main
}

resource "kubernetes_secret" "settings" {
  metadata {
    name      = "fowergram"
    namespace = kubernetes_namespace.main.metadata[0].name
  }

  data = {
    SHARDS = join(",", [for name in sort(keys(local.shards)) : "${name}=${local.shards[name]}"])
    SHARD_REPLICAS = join(",", [
      for name in sort(keys(local.shard_replicas)) : "${local.replicas[name].shard}=${local.shard_replicas[name]}"
    ])
    REDIS_URL            = "rediss://:${local.redis.auth_string}@${local.redis.host}:${local.redis.port}"
    NATS_URL             = "nats://nats:4222"
    S3_ENDPOINT          = var.s3.endpoint
    S3_PUBLIC_ENDPOINT   = var.s3.public_endpoint
    S3_BUCKET            = var.s3.bucket
    S3_REGION            = var.s3.region
    S3_ACCESS_KEY_ID     = var.s3.access_key_id
    S3_SECRET_ACCESS_KEY = var.s3.secret_access_key
  }
}

resource "kubernetes_secret" "token_key" {
  metadata {
    name      = "fowergram-token-key"
    namespace = kubernetes_namespace.main.metadata[0].name
  }

  data = {
    "token-key.pem" = tls_private_key.token.private_key_pem
  }
}

resource "kubernetes_secret" "files" {
  metadata {
    name      = "fowergram-files"
    namespace = kubernetes_namespace.main.metadata[0].name
  }

  data = merge(
    { for name, shard in google_sql_database_instance.shard : "${name}.pem" => shard.server_ca_cert[0].cert },
    { for name, replica in google_sql_database_instance.replica : "${name}.pem" => replica.server_ca_cert[0].cert },
    { "redis-ca.pem" = join("\n", [for authority in local.redis.server_ca_certs : authority.cert]) },
  )
}

# A chart, because a manifest could not be planned before the cluster is there.
resource "helm_release" "ingress" {
  name      = "gke-ingress"
  namespace = kubernetes_namespace.main.metadata[0].name
  chart     = "${path.module}/gke-ingress"

  set {
    name  = "host"
    value = var.host
  }
}

resource "helm_release" "fowergram" {
  name      = "fowergram"
  namespace = kubernetes_namespace.main.metadata[0].name
  chart     = "${path.module}/../fowergram"
  # `migrate up` runs within it.
  timeout = 3600

  values = [yamlencode({
    image = var.image
    config = {
      CORS_ORIGINS  = var.cors_origins
      REDIS_CA_FILE = "${local.files}/redis-ca.pem"
    }
    secrets = { files = kubernetes_secret.files.metadata[0].name }
    api     = { autoscaling = { enabled = true } }
    service = {
      annotations = {
        "cloud.google.com/neg"            = jsonencode({ ingress = true })
        "cloud.google.com/backend-config" = jsonencode({ default = "fowergram" })
      }
    }
    ingress = {
      enabled   = true
      className = "gce"
      hosts     = [var.host]
      annotations = {
        "kubernetes.io/ingress.global-static-ip-name" = google_compute_global_address.api.name
        "networking.gke.io/managed-certificates"      = "fowergram"
      }
    }
  })]

  depends_on = [
    google_sql_database.shard,
    google_sql_user.shard,
    helm_release.ingress,
    helm_release.nats,
    kubernetes_secret.settings,
    kubernetes_secret.token_key,
  ]
}
