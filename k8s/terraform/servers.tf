# A cache, so the plain tier: one that is lost is started anew, and feeds are rebuilt as they are read.
resource "google_redis_instance" "main" {
  name                    = var.name
  tier                    = "BASIC"
  memory_size_gb          = var.redis_memory_gb
  redis_version           = "REDIS_7_2"
  authorized_network      = google_compute_network.main.id
  connect_mode            = "PRIVATE_SERVICE_ACCESS"
  auth_enabled            = true
  transit_encryption_mode = "SERVER_AUTHENTICATION"

  redis_configs = {
    maxmemory-policy = "allkeys-lru"
  }

  depends_on = [google_service_networking_connection.services]
}

resource "helm_release" "nats" {
  name       = "nats"
  namespace  = kubernetes_namespace.main.metadata[0].name
  repository = var.nats_chart.repository
  chart      = "nats"
  version    = var.nats_chart.version

  values = [yamlencode({
    config = {
      cluster = { enabled = true, replicas = 3 }
      jetstream = {
        enabled   = true
        fileStore = { pvc = { size = "10Gi" } }
        # An acked event is on the disk.
        merge = { sync_interval = "always" }
      }
    }
  })]
}
