variable "project" {
  description = "The project of Google Cloud that everything is created in."
  type        = string
}

variable "region" {
  description = "The region of the cluster and its servers."
  type        = string
  default     = "europe-west1"
}

variable "name" {
  description = "The start of all names."
  type        = string
  default     = "fowergram"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,19}$", var.name))
    error_message = "At most 20 small letters, digits and hyphens, beginning with a letter."
  }
}

variable "shards" {
  description = "The shards by name. Names are stored in the shard map: one may be added, none may be renamed or removed."
  type = map(object({
    tier     = optional(string, "db-custom-2-8192")
    disk_gb  = optional(number, 50)
    replicas = optional(number, 1)
  }))
  default = {
    s0 = {}
    s1 = {}
  }

  validation {
    condition     = length(var.shards) > 0 && alltrue([for name in keys(var.shards) : can(regex("^[a-z][a-z0-9]{0,15}$", name))])
    error_message = "At least one shard; a name has at most 16 small letters and digits."
  }
}

variable "redis_memory_gb" {
  description = "The memory of Redis, in GiB."
  type        = number
  default     = 2
}

variable "nats_chart" {
  description = "Where the Helm chart of the NATS project is published, and which version (1.2 or later)."
  type = object({
    repository = string
    version    = string
  })
}

variable "image" {
  description = "The image of Fowergram: repository, and tag or digest (sha256:...)."
  type = object({
    repository = string
    tag        = string
  })
}

variable "s3" {
  description = "The bucket for images, in any storage that speaks S3."
  type = object({
    endpoint          = string
    public_endpoint   = optional(string, "")
    bucket            = string
    region            = optional(string, "us-east-1")
    access_key_id     = string
    secret_access_key = string
  })
  sensitive = true
}

variable "host" {
  description = "The host name at which the API is reached."
  type        = string
}

variable "cors_origins" {
  description = "Origins whose pages may use the API, separated by commas."
  type        = string
  default     = ""
}

variable "deletion_protection" {
  description = "Whether the cluster and the databases are protected from being destroyed."
  type        = bool
  default     = true
}
