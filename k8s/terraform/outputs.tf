output "address" {
  description = "The address that the host name must lead to."
  value       = google_compute_global_address.api.address
}

output "shards" {
  description = "The instances of the shards, by name."
  value       = { for name, shard in google_sql_database_instance.shard : name => shard.connection_name }
}

output "credentials" {
  description = "The command that lets kubectl reach the cluster."
  value       = "gcloud container clusters get-credentials ${google_container_cluster.main.name} --region ${var.region} --project ${var.project}"
}
