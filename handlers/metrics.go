package handlers

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

const inFlightMetric, inFlightHelp = "apimdr_operations_in_flight", "Operations that have not ended, of all services and kinds; without labels."

// metric is one of the status as Prometheus reads it (text exposition format 0.0.4).
type metric struct {
	name, help string
	of         func(p dr.Posture) (value float64, ok bool) // false: there is nothing to tell
}

// metrics are gauges with the label service. Names and units as Prometheus wants them: base units, and no state that only a label could tell.
var metrics = []metric{
	{"apimdr_protected", "1: the active instance has a good recovery point that is younger than its RPO and has not expired.", func(p dr.Posture) (float64, bool) { return truth(p.Protected), true }},
	{"apimdr_newest_good_age_seconds", "Age of the newest good recovery point; absent: there is none.", func(p dr.Posture) (float64, bool) { return p.AgeSeconds, p.NewestGood.ID != "" }},
	{"apimdr_rpo_seconds", "The RPO of the plan.", func(p dr.Posture) (float64, bool) { return p.RPOSeconds, true }},
	{"apimdr_failed_over", "1: another instance than the service itself is the active one.", func(p dr.Posture) (float64, bool) { return truth(!strings.EqualFold(p.Active, p.Service)), true }},
	{"apimdr_survives_primary_loss", "1: a recovery survives the loss of the region of the active instance. 0: it does not. Absent: not known.", func(p dr.Posture) (float64, bool) {
		return truth(p.SurvivesPrimaryLoss.Survives == dr.Yes), p.SurvivesPrimaryLoss.Survives == dr.Yes || p.SurvivesPrimaryLoss.Survives == dr.Not
	}},
	{"apimdr_proven", "1: a drill that succeeded is younger than the plan wants it.", func(p dr.Posture) (float64, bool) { return truth(p.Proven), true }},
	{"apimdr_proof_age_seconds", "Age of the last drill that succeeded; absent: there is none.", func(p dr.Posture) (float64, bool) { return p.ProofAgeSeconds, p.Proof.Operation != "" }},
	{"apimdr_proof_recovery_seconds", "What the last drill that succeeded took from its POST to the verified instance; absent: there is none.", func(p dr.Posture) (float64, bool) { return p.Proof.RecoverySeconds, p.Proof.Operation != "" }},
	{"apimdr_newest_good_expires_timestamp_seconds", "When the newest good recovery point expires, in seconds since 1970; absent: there is none.", func(p dr.Posture) (float64, bool) {
		return float64(p.ExpiresAt.Unix()), !p.ExpiresAt.IsZero()
	}},
	{"apimdr_usual_backup_seconds", "What Resource Manager usually takes for a backup of the active instance, the median of the last that succeeded; absent: none has.", func(p dr.Posture) (float64, bool) {
		return p.Usual.BackupSeconds, p.Usual.BackupSeconds > 0
	}},
	{"apimdr_usual_restore_seconds", "What it usually takes for a restore into the active instance, likewise; absent: none has succeeded.", func(p dr.Posture) (float64, bool) {
		return p.Usual.RestoreSeconds, p.Usual.RestoreSeconds > 0
	}},
	{"apimdr_holds", "Holds in force, of the service, those it forms a pair with, and its drill instance.", func(p dr.Posture) (float64, bool) { return float64(len(p.Holds)), true }},
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

var labels = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

const metricHead = "# HELP %s %s\n# TYPE %[1]s gauge\n"

// writeMetrics tells the status, and how many operations are in flight, in the text format of Prometheus.
func writeMetrics(w http.ResponseWriter, s engine.Status, inFlight int) {
	var b strings.Builder
	fmt.Fprintf(&b, metricHead, inFlightMetric, inFlightHelp)
	fmt.Fprintf(&b, "%s %d\n", inFlightMetric, inFlight)
	for _, m := range metrics {
		fmt.Fprintf(&b, metricHead, m.name, m.help)
		for _, p := range s.Services {
			if value, ok := m.of(p); ok {
				fmt.Fprintf(&b, "%s{service=\"%s\",plan=\"%s\"} %s\n", m.name, labels.Replace(p.Service), labels.Replace(p.Plan), strconv.FormatFloat(value, 'g', -1, 64))
			}
		}
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = io.WriteString(w, b.String()) // the caller went away: nobody to tell
}
