{{- define "fowergram.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- /* At most 50 characters: what is put behind it must leave a name below 63. */}}
{{- define "fowergram.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "fowergram.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "fowergram.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "fowergram.selector" -}}
app.kubernetes.io/name: {{ include "fowergram.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "fowergram.labels" -}}
{{ include "fowergram.selector" . }}
app.kubernetes.io/version: {{ regexReplaceAll "[^A-Za-z0-9_.-]" (.Values.image.tag | default .Chart.AppVersion) "_" | trunc 63 | trimAll "-_." | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 }}
{{- end }}

{{- define "fowergram.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "fowergram.fullname" .) }}
{{- end }}

{{- define "fowergram.settings" -}}
{{- .Values.local.enabled | ternary (printf "%s-local" (include "fowergram.fullname" .)) .Values.secrets.settings }}
{{- end }}

{{- define "fowergram.tokenKey" -}}
{{- .Values.local.enabled | ternary (printf "%s-local-key" (include "fowergram.fullname" .)) .Values.secrets.tokenKey }}
{{- end }}

{{- define "fowergram.image" -}}
{{- $tag := .Values.image.tag | default .Chart.AppVersion }}
{{- printf "%s%s%s" .Values.image.repository (ternary "@" ":" (hasPrefix "sha256:" $tag)) $tag }}
{{- end }}

{{- /* What all containers of the program have: its settings and how they are confined. */}}
{{- define "fowergram.container" -}}
image: {{ include "fowergram.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
env:
  - name: TOKEN_KEY_FILE
    value: /etc/fowergram/token-key/token-key.pem
  {{- range $name, $value := .Values.config }}
  - name: {{ $name }}
    {{- /* Helm reads whole numbers as floats, and 1.2582912e+07 is no setting. */}}
    {{- if and (kindIs "float64" $value) (eq (floor $value) $value) }}
    value: {{ int64 $value | toString | quote }}
    {{- else }}
    value: {{ toString $value | quote }}
    {{- end }}
  {{- end }}
envFrom:
  - secretRef:
      name: {{ include "fowergram.settings" . }}
{{ include "fowergram.confined" . }}
volumeMounts:
  - name: token-key
    mountPath: /etc/fowergram/token-key
    readOnly: true
  {{- if .Values.secrets.files }}
  - name: files
    mountPath: /etc/fowergram/files
    readOnly: true
  {{- end }}
  - name: temporary
    mountPath: /tmp
{{- end }}

{{- define "fowergram.pod" -}}
{{ include "fowergram.user" 10001 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "fowergram.volumes" -}}
- name: token-key
  secret:
    secretName: {{ include "fowergram.tokenKey" . }}
    defaultMode: 0440
{{- if .Values.secrets.files }}
- name: files
  secret:
    secretName: {{ .Values.secrets.files }}
    defaultMode: 0440
{{- end }}
{{- end }}

{{- define "fowergram.confined" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{- /* How pods run; takes the user. */}}
{{- define "fowergram.user" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ . }}
  runAsGroup: {{ . }}
  fsGroup: {{ . }}
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{- /* A Deployment; takes the root, the role, the command, the port and the role's values. */}}
{{- define "fowergram.deployment" -}}
{{- $root := .root }}
{{- $values := .values }}
{{- $grace := index $root.Values.config "SHUTDOWN_GRACE_MS" | default 12000 | int64 }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "fowergram.fullname" $root }}-{{ .role }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "fowergram.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .role }}
spec:
  {{- if not (or (dig "autoscaling" "enabled" false $values) (kindIs "invalid" $values.replicas)) }}
  replicas: {{ $values.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  strategy:
    rollingUpdate:
      # A new pod is ready before an old one stops.
      maxSurge: 1
      maxUnavailable: 0
  selector:
    matchLabels:
      {{- include "fowergram.selector" $root | nindent 6 }}
      app.kubernetes.io/component: {{ .role }}
  template:
    metadata:
      labels:
        {{- include "fowergram.labels" $root | nindent 8 }}
        app.kubernetes.io/component: {{ .role }}
      {{- with $values.podAnnotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      {{- include "fowergram.pod" $root | nindent 6 }}
      serviceAccountName: {{ include "fowergram.serviceAccount" $root }}
      # The pause before it stops, and twice SHUTDOWN_GRACE_MS and a little.
      terminationGracePeriodSeconds: {{ add $root.Values.drainSeconds (div (mul 2 $grace) 1000) 3 }}
      {{- if $root.Values.local.enabled }}
      # In place of the hook, before which the servers are not there.
      initContainers:
        - name: migrate
          args: [migrate, up]
          {{- include "fowergram.container" $root | nindent 10 }}
          resources:
            {{- toYaml $root.Values.migrate.resources | nindent 12 }}
      {{- end }}
      containers:
        - name: fowergram
          args: [{{ .command }}]
          {{- include "fowergram.container" $root | nindent 10 }}
          ports:
            - name: http
              containerPort: {{ .port }}
          # Long enough for a start that waits for its servers.
          startupProbe:
            httpGet: { path: /health, port: http }
            periodSeconds: 2
            failureThreshold: 60
          livenessProbe:
            httpGet: { path: /health, port: http }
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
          readinessProbe:
            httpGet: { path: /ready, port: http }
            periodSeconds: 5
            timeoutSeconds: 4
            failureThreshold: 2
          lifecycle:
            preStop:
              exec:
                command: [sleep, {{ $root.Values.drainSeconds | quote }}]
          resources:
            {{- toYaml $values.resources | nindent 12 }}
      volumes:
        {{- include "fowergram.volumes" $root | nindent 8 }}
        - name: temporary
          emptyDir:
            sizeLimit: {{ $values.temporaryFiles }}
      topologySpreadConstraints:
        {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
        - maxSkew: 1
          topologyKey: {{ $key }}
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels:
              {{- include "fowergram.selector" $root | nindent 14 }}
              app.kubernetes.io/component: {{ $.role }}
        {{- end }}
      {{- with $values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "fowergram.fullname" $root }}-{{ .role }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "fowergram.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .role }}
spec:
  maxUnavailable: {{ $values.maxUnavailable }}
  selector:
    matchLabels:
      {{- include "fowergram.selector" $root | nindent 6 }}
      app.kubernetes.io/component: {{ .role }}
{{- end }}
