{{- define "checkpoint-engine.name" -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "checkpoint-engine.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "checkpoint-engine.labels" -}}
{{ include "checkpoint-engine.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- define "checkpoint-engine.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "checkpoint-engine.name" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "checkpoint-engine.hasToken" -}}
{{- if or .Values.token.existingSecret .Values.token.value }}true{{ end -}}
{{- end -}}

{{- define "checkpoint-engine.secret" -}}
{{- .Values.token.existingSecret | default (printf "%s-token" (include "checkpoint-engine.name" .)) -}}
{{- end -}}

{{/* The engine's command line. `engine.args` come last, so they override other arguments. */}}
{{- define "checkpoint-engine.engineArgs" -}}
{{- $port := .Values.engine.port | toString -}}
{{- $tp := .Values.gpusPerPod | toString -}}
{{- $model := .Values.engine.model -}}
{{- $args := list -}}
{{- if eq .Values.engine.kind "vllm" -}}
{{- $args = list $model "--load-format" "dummy" "--tensor-parallel-size" $tp "--port" $port "--worker-extension-cls" .Values.engine.workerExtension -}}
{{- else if eq .Values.engine.kind "sglang" -}}
{{- $args = list "python3" "-m" "sglang.launch_server" "--model-path" $model "--load-format" "dummy" "--tp" $tp "--host" "0.0.0.0" "--port" $port "--checkpoint-engine-wait-weights-before-ready" -}}
{{- else -}}
{{- $args = list "lmdeploy" "serve" "api_server" $model "--tp" $tp "--server-port" $port "--empty-init" -}}
{{- end -}}
{{- toYaml (concat $args .Values.engine.args) -}}
{{- end -}}
